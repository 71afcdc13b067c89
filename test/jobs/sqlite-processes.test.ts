import { jobProcessesContract } from '../contract/job-processes.js';
import { sqlitePlace } from '../support/job-places.js';

jobProcessesContract('SQLite', sqlitePlace);

import { jobBackendContract } from '../contract/job-backend.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { sqlitePlace } from '../support/job-places.js';

jobBackendContract('SQLite', sqlitePlace);
jobQueueContract('SQLite', sqlitePlace);

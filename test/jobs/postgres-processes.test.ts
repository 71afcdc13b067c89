import { afterAll, describe } from 'vitest';
import { jobOutageContract } from '../contract/job-outage.js';
import { jobProcessesContract } from '../contract/job-processes.js';
import { postgresPlace } from '../support/job-places.js';
import { startPostgres } from '../support/postgres.js';

const postgres = await startPostgres();

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  afterAll(() => postgres?.stop());
  jobProcessesContract('PostgreSQL', () => postgresPlace(postgres));
  if (postgres !== undefined) jobOutageContract('PostgreSQL', postgres, () => postgresPlace(postgres), 4);
});

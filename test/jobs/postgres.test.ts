import { afterAll, describe } from 'vitest';
import { jobBackendContract } from '../contract/job-backend.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { postgresPlace } from '../support/job-places.js';
import { startPostgres } from '../support/postgres.js';

const postgres = await startPostgres();

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  afterAll(() => postgres?.stop());
  jobBackendContract('PostgreSQL', () => postgresPlace(postgres));
  jobQueueContract('PostgreSQL', () => postgresPlace(postgres));
});

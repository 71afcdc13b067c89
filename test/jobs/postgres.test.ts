import { afterAll, describe } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { jobBackendContract, type JobPlace } from '../contract/job-backend.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { startPostgres } from '../support/postgres.js';

const postgres = await startPostgres();

/** Jobs in the domain's own database, as an empty `[jobs] url` chooses. */
async function open(): Promise<JobPlace> {
  const database = await Database.open((await postgres?.createDatabase()) ?? '');
  return { database, url: '', atomic: true, close: () => database.close() };
}

describe.skipIf(postgres === undefined)('PostgreSQL', () => {
  afterAll(() => postgres?.stop());
  jobBackendContract('PostgreSQL', open);
  jobQueueContract('PostgreSQL', open);
});

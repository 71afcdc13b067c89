import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { jobBackendContract, type JobPlace } from '../contract/job-backend.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

async function open(): Promise<JobPlace> {
  const folder = await temporaryFolder();
  const database = await Database.open(`sqlite://${folder}/pacifica.db`);
  await syncSchema(database);
  return {
    database,
    url: '',
    atomic: true,
    async close() {
      await database.close();
      await removeFolder(folder);
    },
  };
}

jobBackendContract('SQLite', open);
jobQueueContract('SQLite', open);

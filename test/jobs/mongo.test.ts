import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { describe } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { jobBackendContract, type JobPlace } from '../contract/job-backend.js';
import { jobQueueContract } from '../contract/job-queue.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

/** Any server that speaks MongoDB's protocol: `mongodb://127.0.0.1:27017/` */
const server = process.env.PACIFICA_TEST_MONGODB_URL;

async function open(): Promise<JobPlace> {
  const folder = await temporaryFolder();
  const database = await Database.open(`sqlite://${folder}/pacifica.db`);
  const url = new URL(server ?? '');
  url.pathname = `/pacifica_${randomUUID().slice(0, 8)}`;
  const mongo = await MongoClient.connect(url.href);
  const info = await mongo.db().admin().command({ buildInfo: 1 });
  return {
    database,
    url: url.href,
    atomic: info.ferretdbVersion === undefined,
    async close() {
      await database.close();
      await removeFolder(folder);
      await mongo.db().dropDatabase();
      await mongo.close();
    },
  };
}

describe.skipIf(server === undefined)('MongoDB (PACIFICA_TEST_MONGODB_URL names a server)', () => {
  jobBackendContract('MongoDB', open);
  jobQueueContract('MongoDB', open);
});

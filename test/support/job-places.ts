import { randomUUID } from 'node:crypto';
import { MongoClient } from 'mongodb';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import type { JobPlace } from '../contract/job-backend.js';
import type { TestPostgres } from './postgres.js';
import { removeFolder, temporaryFolder } from './temporary-folder.js';

/** Jobs in an SQLite database in a folder of its own, as an empty `[jobs] url` chooses. */
export async function sqlitePlace(): Promise<JobPlace> {
  const folder = await temporaryFolder();
  const database = await Database.open(`sqlite://${folder}/pacifica.db`);
  await syncSchema(database);
  return {
    database,
    url: '',
    atomic: true,
    tells: true,
    async close() {
      await database.close();
      await removeFolder(folder);
    },
  };
}

/** Jobs in the domain's own PostgreSQL, as an empty `[jobs] url` chooses. */
export async function postgresPlace(postgres: TestPostgres | undefined): Promise<JobPlace> {
  if (postgres === undefined) throw new Error('there is no PostgreSQL here');
  const database = await Database.open(await postgres.createDatabase());
  return { database, url: '', atomic: true, tells: true, close: () => database.close() };
}

/**
 * Jobs in a MongoDB database of their own, beside a domain on SQLite.
 * @param way port by which the queue is to go to the server, where that is another one
 */
export async function mongoPlace(server: string | undefined, way?: number): Promise<JobPlace> {
  const domain = await sqlitePlace();
  const url = new URL(server ?? '');
  url.pathname = `/pacifica_${randomUUID().slice(0, 8)}`;
  const mongo = await MongoClient.connect(url.href);
  if (way !== undefined) {
    url.port = `${way}`;
    // the server's own idea of its address leads around the way
    url.searchParams.set('directConnection', 'true');
  }
  const info = await mongo.db().admin().command({ buildInfo: 1 });
  const hello = await mongo.db().admin().command({ hello: 1 });
  return {
    database: domain.database,
    url: url.href,
    atomic: info.ferretdbVersion === undefined,
    tells: hello.setName !== undefined,
    async close() {
      await domain.close();
      await mongo.db().dropDatabase();
      await mongo.close();
    },
  };
}

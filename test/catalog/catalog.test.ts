import { describe } from 'vitest';
import { createCatalog } from '../../src/catalog/create.js';
import { catalogApp } from '../../src/daemon/catalog.js';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { catalogContract } from '../contract/catalog.js';
import { databaseKinds } from '../support/databases.js';
import { silent } from '../support/log.js';
import { startApp } from '../support/app.js';

const kinds = await databaseKinds();
const authHeader = 'X-Http-Authed-User';

for (const kind of kinds) {
  const openDatabase = async (): Promise<Database> => {
    const database = await Database.open(await kind.create());
    await requireSchema(database);
    return database;
  };

  describe.skipIf(!kind.available)(`embedded catalog on ${kind.name}`, () => {
    catalogContract(async () => {
      const database = await openDatabase();
      return { catalog: createCatalog({ database, authHeader }), close: async () => database.close() };
    });
  });

  describe.skipIf(!kind.available)(`catalog over HTTP, ours on ${kind.name}`, () => {
    catalogContract(async () => {
      const database = await openDatabase();
      const app = catalogApp(
        { service: 'catalog', log: silent, debug: false },
        { catalog: createCatalog({ database, authHeader }), authHeader, defaultUser: 'root', bodyLimit: 2 ** 24 },
      );
      const server = await startApp(app);
      const { url } = server;
      const catalog = createCatalog({
        database,
        uniqueIdUrl: url,
        policyUrl: `${url}/ingest`,
        metadataIngestUrl: `${url}/ingest`,
        authHeader,
      });
      return {
        catalog,
        async close() {
          await catalog.close();
          await server.close();
          await database.close();
        },
      };
    });
  });
}

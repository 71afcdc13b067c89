import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { QueryTypes } from 'sequelize';
import { describe, expect, it } from 'vitest';
import { Database } from '../../../src/storage/database/database.js';
import { migrations } from '../../../src/storage/database/migrations/index.js';
import { requireSchema, schemaState, syncSchema } from '../../../src/storage/database/schema.js';
import { runChild } from '../../support/children/run.js';
import { databaseKinds } from '../../support/databases.js';

const kinds = await databaseKinds();
const names = migrations.map(({ name }) => name);

for (const kind of kinds) {
  describe.skipIf(!kind.available)(`schema on ${kind.name}`, () => {
    const open = async (): Promise<Database> => Database.open(await kind.create());

    it('of an empty database is brought up, once', async () => {
      const database = await open();
      expect(await schemaState(database)).toEqual({ state: 'empty', pending: names, unknown: [] });
      expect(await syncSchema(database)).toEqual(names);
      expect(await schemaState(database)).toEqual({ state: 'current', pending: [], unknown: [] });
      expect(await syncSchema(database)).toEqual([]);
      const tables = await database.tables();
      expect(tables.filter((table) => !table.startsWith('pacifica_') && !table.startsWith('sqlite_'))).toEqual([]);
      expect(tables).toContain('pacifica_file');
      await database.close();
    });

    it('is brought up by a daemon that finds none, and refused by one that finds an older one', async () => {
      const database = await open();
      await requireSchema(database);
      await requireSchema(database);
      await database.sequelize.query('DELETE FROM pacifica_migration WHERE name = ?', { replacements: [names.at(-1)] });
      expect(await schemaState(database)).toMatchObject({ state: 'behind', pending: names.slice(-1) });
      await expect(requireSchema(database)).rejects.toMatchObject({
        code: 'forbidden',
        hint: expect.stringContaining('pacifica db sync') as string,
      });
      await database.close();
    });

    it('is brought up once when several processes start at the same time', async () => {
      const url = await kind.create();
      await Promise.all(Array.from({ length: 3 }, () => runChild('sync-schema', url)));
      const database = await Database.open(url);
      expect(await schemaState(database)).toMatchObject({ state: 'current' });
      await database.close();
    });

    it('of a newer program is refused', async () => {
      const database = await open();
      await syncSchema(database);
      await database.sequelize.query("INSERT INTO pacifica_migration (name) VALUES ('9999-from-the-future')");
      expect(await schemaState(database)).toMatchObject({ state: 'ahead', unknown: ['9999-from-the-future'] });
      for (const work of [requireSchema, syncSchema]) {
        await expect(work(database)).rejects.toMatchObject({
          code: 'forbidden',
          message: expect.stringContaining('9999-from-the-future') as string,
        });
      }
      await database.close();
    });

    it.each(['cart', 'ingeststate', 'uniqueindex'])(
      "of an original's %s is refused and left as it is",
      async (table) => {
        const url = await kind.create();
        const database = await Database.open(url);
        await database.sequelize.query(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, status TEXT)`);
        await database.sequelize.query(`INSERT INTO ${table} VALUES (7, 'theirs')`);
        const fingerprint = async (): Promise<string> =>
          database.file === undefined
            ? ''
            : createHash('sha1')
                .update(await readFile(database.file))
                .digest('hex');
        const before = await fingerprint();
        expect(await schemaState(database)).toMatchObject({ state: 'foreign' });
        for (const work of [requireSchema, syncSchema]) {
          await expect(work(database)).rejects.toMatchObject({
            code: 'forbidden',
            hint: expect.stringContaining('[database] url') as string,
          });
        }
        expect(await database.tables()).toEqual([table]);
        const rows = await database.sequelize.query(`SELECT * FROM ${table}`, { type: QueryTypes.SELECT });
        expect(rows).toEqual([{ id: 7, status: 'theirs' }]);
        expect(await fingerprint()).toBe(before);
        await database.close();
      },
    );

    it('is taken back whole when a migration fails', async () => {
      const database = await open();
      const before = await database.tables();
      const last = migrations.at(-1);
      const broken = { name: '9998-broken', up: async () => Promise.reject(new Error('broken')) };
      const list = migrations as (typeof broken)[];
      list.push(broken);
      try {
        await expect(syncSchema(database)).rejects.toThrow('broken');
      } finally {
        list.pop();
      }
      expect(migrations.at(-1)).toBe(last);
      expect(await database.tables()).toEqual(before);
      expect(await schemaState(database)).toMatchObject({ state: 'empty' });
      await database.close();
    });
  });
}

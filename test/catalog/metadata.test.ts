import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { QueryTypes } from 'sequelize';
import { describe, expect, it } from 'vitest';
import { EmbeddedMetadata } from '../../src/catalog/metadata.js';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { TransactionTables } from '../../src/storage/database/transactions.js';
import { runChild } from '../support/children/run.js';
import { databaseKinds } from '../support/databases.js';
import { manyFiles } from '../support/many-files.js';
import { until } from '../support/until.js';

const kinds = await databaseKinds();

async function fileRows(database: Database): Promise<number> {
  const [row] = await database.sequelize.query<{ count: unknown }>('SELECT COUNT(*) AS count FROM pacifica_file', {
    type: QueryTypes.SELECT,
  });
  return Number(row?.count);
}

for (const kind of kinds) {
  describe.skipIf(!kind.available)(`metadata on ${kind.name}`, () => {
    const open = async (): Promise<{ url: string; database: Database; metadata: EmbeddedMetadata }> => {
      const url = await kind.create();
      const database = await Database.open(url);
      await requireSchema(database);
      return { url, database, metadata: new EmbeddedMetadata(new TransactionTables(database)) };
    };

    it('shows nothing of a transaction whose writer was killed, and goes on with it', async () => {
      const { url, database, metadata } = await open();
      const count = 20_000;
      const program = fileURLToPath(new URL('../support/children/ingest-metadata.ts', import.meta.url));
      const child = spawn(process.execPath, ['--import', 'tsx/esm', program, url, '1', '1', String(count)]);
      const ended = once(child, 'exit');
      const written = async (): Promise<number> => {
        const [row] = await database.sequelize.query<{ count: unknown }>(
          'SELECT COUNT(*) AS count FROM pacifica_file',
          {
            type: QueryTypes.SELECT,
          },
        );
        return Number(row?.count);
      };
      await until('some files to be written', async () => (await written()) > 0);
      child.kill('SIGKILL');
      await ended;
      const left = await written();
      expect(left).toBeGreaterThan(0);
      expect(left).toBeLessThan(count);
      expect(await metadata.files({ transaction: 1 })).toEqual([]);
      expect(await metadata.files({ _id: 1 })).toEqual([]);
      await expect(metadata.transaction(1)).rejects.toMatchObject({ code: 'not-found' });

      await metadata.ingest(manyFiles(1, 1, count), 'root');
      expect(await metadata.files({ transaction: 1 })).toHaveLength(count);
      expect(await metadata.transaction(1)).toMatchObject({ submitter: 10, project: '1234a', instrument: 54 });
      expect((await metadata.fileKeyValues([1, count])).get(count)).toEqual([{ key: 'number', value: String(count) }]);
      await database.close();
    });

    it('replaces what a killed writer left by other content with the same id', async () => {
      const { database, metadata } = await open();
      await metadata.ingest(manyFiles(1, 1, 30), 'root');
      // as a crash right before the last step leaves it
      await database.sequelize.query('UPDATE pacifica_transaction SET completed = NULL');
      await metadata.ingest(manyFiles(1, 21, 20), 'root');
      const ids = (await metadata.files({})).map(({ _id }) => _id);
      expect(ids).toEqual(Array.from({ length: 20 }, (_, index) => 40 - index));
      expect([...(await metadata.fileKeyValues(ids)).keys()]).toHaveLength(20);
      await database.close();
    });

    it('takes the same transaction from two processes at once', async () => {
      const { url, database, metadata } = await open();
      await Promise.all([1, 2].map(() => runChild('ingest-metadata', url, '1', '1', '3000')));
      expect(await metadata.files({ transaction: 1 })).toHaveLength(3000);
      await database.close();
    });

    it('lets others write while a long transaction is recorded', async () => {
      const { url, database, metadata } = await open();
      const other = await Database.open(url);
      await other.sequelize.query('CREATE TABLE beat (at INTEGER)');
      const over = new AbortController();
      const recording = metadata.ingest(manyFiles(1, 1, 15_000), 'root').finally(() => over.abort());
      const seen: number[] = [];
      while (!over.signal.aborted) {
        await other.write(async (transaction) => other.sequelize.query('INSERT INTO beat VALUES (1)', { transaction }));
        seen.push(await fileRows(other));
      }
      await recording;
      // written by others when a part of the files was there: in one transaction it would be all or none
      expect(seen.filter((rows) => rows > 0 && rows < 15_000).length).toBeGreaterThan(0);
      await other.close();
      await database.close();
    });

    it('keeps key/values of files, also of one that it does not know', async () => {
      const { database, metadata } = await open();
      await metadata.ingest(
        [
          ...manyFiles(1, 1, 1),
          { destinationTable: 'FileKeyValue', key: 'Micronic Adjustment', value: '5.66%', file_id: 1 },
          { destinationTable: 'FileKeyValue', key: 'number', value: 7, file_id: 'temporary-3' },
          { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: 27 },
          { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '28' },
          { destinationTable: 'Something', of: 'theirs' },
        ],
        'dave',
      );
      expect(await metadata.fileKeyValues([1])).toEqual(
        new Map([
          [
            1,
            [
              { key: 'number', value: '1' },
              { key: 'Micronic Adjustment', value: '5.66%' },
            ],
          ],
        ]),
      );
      expect((await metadata.transaction(1)).keyValues).toEqual({ 'Temp C': '28' });
      const keys = await metadata.keys({});
      expect(keys.map(({ key }) => key).sort()).toEqual(['Micronic Adjustment', 'Temp C', 'number']);
      expect(await metadata.keys({ key: 'number' })).toMatchObject([{ key: 'number' }]);
      expect(await metadata.keys({ key: 'nothing' })).toEqual([]);
      const rows = await database.sequelize.query(
        'SELECT reference, value FROM pacifica_file_key_value WHERE file_id IS NULL',
        { type: QueryTypes.SELECT },
      );
      expect(rows).toEqual([{ reference: '"temporary-3"', value: '7' }]);
      // nobody asks for them, and they can not be had again later: who sent it, and what is of tables that we do not know
      const [transaction] = await database.sequelize.query('SELECT ingest_user, extra FROM pacifica_transaction', {
        type: QueryTypes.SELECT,
      });
      expect(transaction).toEqual({
        ingest_user: 'dave',
        extra: JSON.stringify([{ destinationTable: 'Something', of: 'theirs' }]),
      });
      const [row] = await database.sequelize.query('SELECT ingest_user, extra FROM pacifica_transaction', {
        type: QueryTypes.SELECT,
      });
      expect(row).toEqual({ ingest_user: 'dave', extra: '[{"destinationTable":"Something","of":"theirs"}]' });
      await database.close();
    });
  });
}

import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { QueryTypes } from 'sequelize';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../../src/storage/database/database.js';
import { runChild } from '../../support/children/run.js';
import { databaseKinds } from '../../support/databases.js';
import { removeFolder, temporaryFolder } from '../../support/temporary-folder.js';

const PROCESSES = 4;
const TIMES = 25;

const kinds = await databaseKinds();
let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => removeFolder(folder));

for (const kind of kinds) {
  describe.skipIf(!kind.available)(`database on ${kind.name}`, () => {
    it('commits what a write did, and takes back all of one that throws', async () => {
      const database = await Database.open(await kind.create());
      const { sequelize } = database;
      const rows = async (): Promise<object[]> => sequelize.query('SELECT * FROM t', { type: QueryTypes.SELECT });
      await sequelize.query('CREATE TABLE t (a INTEGER)');
      const insert = async (fail: boolean): Promise<void> =>
        database.write(async (transaction) => {
          await sequelize.query('INSERT INTO t VALUES (1)', { transaction });
          await sequelize.query('INSERT INTO t VALUES (2)', { transaction });
          if (fail) throw new Error('no');
        });
      await expect(insert(true)).rejects.toThrow('no');
      expect(await rows()).toEqual([]);
      await insert(false);
      expect(await rows()).toEqual([{ a: 1 }, { a: 2 }]);
      await database.close();
    });

    it(`loses no write when ${PROCESSES} processes read, add and write back`, async () => {
      const url = await kind.create();
      const database = await Database.open(url);
      const { sequelize } = database;
      await sequelize.query('CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER)');
      await sequelize.query('INSERT INTO counter VALUES (1, 0)');
      // a process that meets SQLITE_BUSY or a deadlock ends with 1, and this throws
      await Promise.all(Array.from({ length: PROCESSES }, () => runChild('count-up', url, String(TIMES))));
      const rows = await sequelize.query('SELECT value FROM counter', { type: QueryTypes.SELECT });
      expect(rows).toEqual([{ value: PROCESSES * TIMES * 4 }]);
      await database.close();
    });

    it('gives back what a single statement returns', async () => {
      const database = await Database.open(await kind.create());
      await database.sequelize.query('CREATE TABLE t (name VARCHAR(20) PRIMARY KEY, value INTEGER)');
      const put = `INSERT INTO t VALUES ($name, $value)
                   ON CONFLICT (name) DO UPDATE SET value = t.value + $value RETURNING value`;
      expect(await database.writeStatement(put, { name: 'a', value: 2 })).toEqual([{ value: 2 }]);
      expect(await database.writeStatement(put, { name: 'a', value: 3 })).toEqual([{ value: 5 }]);
      await expect(database.writeStatement('INSERT INTO t VALUES ($name, 1)', { name: 'a' })).rejects.toThrow();
      await database.close();
    });

    it('waits for the write under way before it closes', async () => {
      const url = await kind.create();
      const database = await Database.open(url);
      await database.sequelize.query('CREATE TABLE t (a INTEGER)');
      const write = database.write(async (transaction) => {
        for (let row = 0; row < 50; row += 1) {
          await database.sequelize.query('INSERT INTO t VALUES (1)', { transaction });
        }
      });
      await Promise.all([write, database.close()]);
      const again = await Database.open(url);
      const [rows] = await again.sequelize.query('SELECT COUNT(*) AS count FROM t');
      expect(Number((rows[0] as { count: unknown }).count)).toBe(50);
      await again.close();
    });
  });
}

describe('opening', () => {
  it('makes folder and file, or refuses to when told so', async () => {
    const file = join(folder, 'a', 'b', 'x.db');
    await expect(Database.open(`sqlite://${file}`, { create: false })).rejects.toMatchObject({ code: 'not-found' });
    expect(existsSync(join(folder, 'a'))).toBe(false);
    await (await Database.open(`sqlite://${file}`)).close();
    expect(existsSync(file)).toBe(true);
  });

  it('takes names with spaces and letters of all kinds', async () => {
    const file = join(folder, 'two words ü.db');
    const database = await Database.open(`sqlite://${encodeURI(file)}`);
    expect(database.file).toBe(file);
    await database.sequelize.query('CREATE TABLE t (a INTEGER)');
    await database.close();
    expect(existsSync(file)).toBe(true);
  });

  it('says what is wrong with a file that is no database, and leaves it as it is', async () => {
    const file = join(folder, 'no.db');
    await writeFile(file, 'this is no database '.repeat(100));
    await expect(Database.open(`sqlite://${file}`)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(file) as string,
    });
    expect(await readFile(file, 'utf8')).toBe('this is no database '.repeat(100));
  });

  it.skipIf(process.getuid?.() === 0)('says that the folder can not be written', async () => {
    const locked = join(folder, 'locked');
    await (await Database.open(`sqlite://${join(locked, 'x.db')}`)).close();
    await chmod(locked, 0o500);
    await expect(Database.open(`sqlite://${join(locked, 'y.db')}`)).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('waits for a PostgreSQL that is not there, as often as it is told, and never says its password', async () => {
    const url = 'postgres://pacifica:secret@127.0.0.1:1/test';
    const waits: string[] = [];
    const patience = { attempts: 3, pause: () => 1, onWait: (reason: string) => waits.push(reason) };
    const opening = Database.open(url, { patience });
    await expect(opening).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.not.stringContaining('secret') as string,
    });
    expect(waits).toHaveLength(2);
    expect(waits.join()).not.toContain('secret');
  });
});

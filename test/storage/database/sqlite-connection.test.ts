import { join } from 'node:path';
import sqlite3 from 'sqlite3';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { SqliteConnection } from '../../../src/storage/database/sqlite-connection.js';
import { removeFolder, temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
let connection: SqliteConnection;
const others: SqliteConnection[] = [];

beforeEach(async () => {
  folder = await temporaryFolder();
  connection = await connect();
  await all(connection, 'CREATE TABLE numbers (id INTEGER PRIMARY KEY, value)');
});

afterEach(async () => {
  for (const each of [connection, ...others.splice(0)]) await close(each).catch(() => undefined);
  await removeFolder(folder);
});

async function connect(): Promise<SqliteConnection> {
  const { OPEN_READWRITE, OPEN_CREATE } = sqlite3;
  const opened = await new Promise<SqliteConnection>((resolve, reject) => {
    const made = new SqliteConnection(join(folder, 'db'), OPEN_READWRITE | OPEN_CREATE, (error) =>
      error === null ? resolve(made) : reject(error),
    );
  });
  await all(opened, 'PRAGMA journal_mode = WAL');
  return opened;
}

async function another(): Promise<SqliteConnection> {
  const opened = await connect();
  others.push(opened);
  return opened;
}

type Rows = Record<string, unknown>[];

function all(on: SqliteConnection, sql: string, ...parameters: unknown[]): Promise<Rows> {
  return new Promise((resolve, reject) => {
    on.all(sql, ...parameters, (error: Error | null, rows: Rows) => (error === null ? resolve(rows) : reject(error)));
  });
}

interface Done {
  readonly lastID: number;
  readonly changes: number;
}

function run(on: SqliteConnection, sql: string, ...parameters: unknown[]): Promise<Done> {
  return new Promise((resolve, reject) => {
    on.run(sql, ...parameters, function (this: Done, error: Error | null) {
      if (error === null) resolve({ lastID: this.lastID, changes: this.changes });
      else reject(error);
    });
  });
}

function close(on: SqliteConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    on.close((error) => (error === null ? resolve() : reject(error)));
  });
}

/** What the driver is asked to make statements of. */
function watchPrepared(on: SqliteConnection): string[] {
  const texts: string[] = [];
  const prepare = on.prepare.bind(on);
  on.prepare = (sql: string) => {
    texts.push(sql);
    return prepare(sql);
  };
  return texts;
}

const INSERT = 'INSERT INTO numbers (value) VALUES ($value)';
const SLOW =
  'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $most) SELECT max(x) AS x FROM c';
const SELECT = 'SELECT $value AS value';

test('a statement is made once, and gives to each who asks at the same time what is theirs', async () => {
  const prepared = watchPrepared(connection);
  const values = Array.from({ length: 50 }, (_one, index) => index);
  const rows = await Promise.all(values.map((value) => all(connection, SELECT, { $value: value })));
  expect(rows).toEqual(values.map((value) => [{ value }]));
  const done = await Promise.all(values.map((value) => run(connection, INSERT, { $value: value })));
  expect(done).toEqual(values.map((value) => ({ lastID: value + 1, changes: 1 })));
  expect(prepared).toEqual([SELECT, INSERT]);
});

test('values of one time are not those of the next one', async () => {
  const sql = 'SELECT $one AS one, $other AS other';
  expect(await all(connection, sql, { $one: 'a', $other: Buffer.from([1]) })).toEqual([
    { one: 'a', other: Buffer.from([1]) },
  ]);
  expect(await all(connection, sql, { $other: 1.5 })).toEqual([{ one: null, other: 1.5 }]);
  expect(await all(connection, sql, { $one: null, $other: undefined })).toEqual([{ one: null, other: null }]);
});

test('parameters in a list, none, and an empty list', async () => {
  expect(await all(connection, 'SELECT ? AS a, ? AS b', [1, 'x'])).toEqual([{ a: 1, b: 'x' }]);
  expect(await all(connection, 'SELECT 1 AS a')).toEqual([{ a: 1 }]);
  expect(await all(connection, 'SELECT 1 AS a', [])).toEqual([{ a: 1 }]);
  expect(await run(connection, 'INSERT INTO numbers (value) VALUES (1), (2)')).toEqual({ lastID: 2, changes: 2 });
});

test('SQL that is wrong is told to all who ask, now and later', async () => {
  const wrong = (): Promise<Rows> => all(connection, 'SELECT $value FROM nowhere', { $value: 1 });
  const expected = { message: expect.stringContaining('no such table: nowhere') as string };
  const told = await Promise.all([wrong(), wrong()].map((each) => each.catch((error: unknown) => error)));
  expect(told).toEqual([expect.objectContaining(expected), expect.objectContaining(expected)]);
  await expect(wrong()).rejects.toMatchObject(expected);
  await all(connection, 'CREATE TABLE nowhere (value)');
  expect(await wrong()).toEqual([]);
});

test('a statement that failed works the next time', async () => {
  const insert = (id: number): Promise<Done> => run(connection, 'INSERT INTO numbers (id) VALUES ($id)', { $id: id });
  await insert(7);
  await expect(insert(7)).rejects.toMatchObject({ code: 'SQLITE_CONSTRAINT' });
  expect(await insert(8)).toEqual({ lastID: 8, changes: 1 });
});

test('more statements than are kept, many of them at once', async () => {
  const ask = async (index: number): Promise<unknown> =>
    (await all(connection, `SELECT $value + ${index} AS value`, { $value: 1000 }))[0]?.value;
  const indexes = Array.from({ length: 300 }, (_one, index) => index);
  for (let round = 0; round < 2; round += 1) {
    expect(await Promise.all(indexes.map(ask))).toEqual(indexes.map((index) => 1000 + index));
  }
  await close(connection);
});

test('no lock is held between two queries, whatever they give back', async () => {
  await run(connection, INSERT, { $value: 1 });
  const returning = `${INSERT} RETURNING id`;
  await all(connection, returning, { $value: 2 });
  await run(connection, returning, { $value: 3 });
  await all(connection, 'SELECT * FROM numbers WHERE id >= $id', { $id: 0 });
  const other = await another();
  // fails at once where somebody writes
  other.configure('busyTimeout', 0);
  await all(other, 'BEGIN EXCLUSIVE');
  await all(other, 'COMMIT');
});

test('a statement that is kept sees what others changed, of rows and of the table', async () => {
  const rows = (): Promise<Rows> => all(connection, 'SELECT * FROM numbers WHERE id >= $id', { $id: 0 });
  expect(await rows()).toEqual([]);
  const other = await another();
  await run(other, INSERT, { $value: 1 });
  expect(await rows()).toEqual([{ id: 1, value: 1 }]);
  await all(other, "ALTER TABLE numbers ADD COLUMN name TEXT DEFAULT 'none'");
  expect(await rows()).toEqual([{ id: 1, value: 1, name: 'none' }]);
});

test('columns of a table are asked for once, when there is a table', async () => {
  const driver = vi.spyOn(sqlite3.Database.prototype, 'all');
  const columns = (table: string): Promise<Rows> => all(connection, `PRAGMA table_info(\`${table}\`)`);
  expect(await columns('later')).toEqual([]);
  await all(connection, 'CREATE TABLE later (id INTEGER)');
  const [first, second] = [await columns('later'), await columns('later')];
  expect(first).toMatchObject([{ name: 'id', type: 'INTEGER' }]);
  expect(second).toEqual(first);
  expect(driver.mock.calls.filter(([sql]) => sql.includes('table_info'))).toHaveLength(2);
  driver.mockRestore();
});

test('queries without parameters, of which there are always some, do not overtake one with parameters', async () => {
  let asked = 0;
  let stop = false;
  const others = Array.from({ length: 3 }, async () => {
    for (; !stop; asked += 1) await all(connection, 'SELECT * FROM numbers');
  });
  for (let value = 0; value < 5; value += 1) {
    const before: number = asked;
    expect(await all(connection, SELECT, { $value: value })).toEqual([{ value }]);
    // those that asked before it, and no more
    expect(asked - before).toBeLessThan(10);
  }
  stop = true;
  await Promise.all(others);
});

test('closing does not stop this thread until a query is done', async () => {
  await all(connection, SELECT, { $value: 1 });
  const running = all(connection, SLOW, { $most: 5_000_000 });
  // it runs by now
  await new Promise((resolve) => setImmediate(resolve));
  let isDone = false;
  void running.then(() => (isDone = true));
  const closed = close(connection);
  await new Promise((resolve) => setImmediate(resolve));
  expect(isDone).toBe(false);
  await running;
  await closed;
});

test('closing waits for queries under way, and those that come after it are refused', async () => {
  for (let value = 0; value < 20; value += 1) await run(connection, INSERT, { $value: value });
  const running = [100_000, 100_001].map((most) => all(connection, SLOW, { $most: most }));
  const closed = close(connection);
  expect(await Promise.all(running)).toEqual([[{ x: 100_000 }], [{ x: 100_001 }]]);
  await closed;
  await expect(all(connection, SELECT, { $value: 1 })).rejects.toMatchObject({ code: 'SQLITE_MISUSE' });
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { QueryTypes, type Transaction } from 'sequelize';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Database } from '../../../src/storage/database/database.js';
import { removeFolder, temporaryFolder } from '../../support/temporary-folder.js';

const WRITE_ON = fileURLToPath(new URL('../../support/children/write-on.ts', import.meta.url));

let folder: string;
let url: string;
let database: Database;
/** a connection of its own, as another process has it */
let other: Database;
beforeEach(async () => {
  folder = await temporaryFolder();
  url = `sqlite://${join(folder, 'x.db')}`;
  database = await Database.open(url);
  await database.sequelize.query('PRAGMA journal_mode = WAL');
  await database.sequelize.query('CREATE TABLE t (a INTEGER)');
  other = await Database.open(url);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all([database.close(), other.close()]);
  await removeFolder(folder);
});

async function numbers(from: Database, transaction?: Transaction): Promise<number[]> {
  const options = { type: QueryTypes.SELECT, transaction } as const;
  return (await from.sequelize.query<{ a: number }>('SELECT a FROM t ORDER BY a', options)).map(({ a }) => a);
}

async function insert(number: number, transaction: Transaction): Promise<void> {
  await database.sequelize.query('INSERT INTO t VALUES (?)', { replacements: [number], transaction });
}

/** Lets works that wait share one transaction, whose time would be over before the last one where the machine is busy. */
function stopClock(): void {
  vi.spyOn(performance, 'now').mockReturnValue(performance.now());
}

async function outcomes(works: readonly Promise<unknown>[]): Promise<string[]> {
  return (await Promise.allSettled(works)).map((end) =>
    end.status === 'fulfilled' ? 'done' : (end.reason as Error).message,
  );
}

describe('works that wait at the same time', () => {
  it('are done in their order, see those before them, and are told only when they are committed', async () => {
    const told: number[] = [];
    const seen: number[][] = [];
    const works = [1, 2, 3].map(async (number) => {
      await database.write(async (transaction) => {
        await insert(number, transaction);
        seen.push(await numbers(database, transaction));
        expect(await numbers(other)).not.toContain(number);
        expect(told).not.toContain(number);
      });
      told.push(number);
      expect(await numbers(other)).toContain(number);
    });
    await Promise.all(works);
    expect(seen).toEqual([[1], [1, 2], [1, 2, 3]]);
    expect(told).toEqual([1, 2, 3]);
  });

  it('hold when one of them throws, and of that one nothing is left', async () => {
    const works = [1, 2, 3].map((number) =>
      database.write(async (transaction) => {
        if (number === 3) expect(await numbers(database, transaction)).toEqual([1, 10]);
        await insert(number, transaction);
        await insert(number * 10, transaction);
        if (number === 2) throw new Error('no');
      }),
    );
    const statement = database.writeStatement('INSERT INTO t VALUES ($a)', { a: 4 });
    const wrong = database.writeStatement('INSERT INTO missing VALUES ($a)', { a: 5 });
    expect(await outcomes([...works, statement, wrong])).toEqual([
      'done',
      'no',
      'done',
      'done',
      expect.stringContaining('no such table: missing'),
    ]);
    expect(await numbers(other)).toEqual([1, 3, 4, 10, 30]);
  });

  it('hold when a statement among them fails: it leaves nothing, and takes back nothing of those before it', async () => {
    await database.sequelize.query('CREATE TABLE one (a INTEGER UNIQUE)');
    await database.writeStatement('INSERT INTO one VALUES ($a)', { a: 7 });
    const ends = await outcomes([
      database.write((transaction) => insert(1, transaction)),
      database.writeStatement('INSERT INTO t VALUES ($a)', { a: 2 }),
      // fails at its second row
      database.writeStatement('INSERT INTO one VALUES ($a), ($b)', { a: 6, b: 7 }),
      database.writeStatement('INSERT INTO t VALUES ($a)', { a: 3 }),
      database.write(async (transaction) => {
        await insert(4, transaction);
        throw new Error('no');
      }),
      database.write((transaction) => insert(5, transaction)),
    ]);
    expect(ends.map((end) => end.toLowerCase())).toEqual([
      'done',
      'done',
      expect.stringMatching(/unique|validation/),
      'done',
      'no',
      'done',
    ]);
    expect(await numbers(other)).toEqual([1, 2, 3, 5]);
    expect((await other.sequelize.query('SELECT a FROM one'))[0]).toEqual([{ a: 7 }]);
  });

  it('a statement alone tells its failure, and the next one works', async () => {
    await expect(database.writeStatement('INSERT INTO missing VALUES ($a)', { a: 1 })).rejects.toThrow('no such table');
    await database.writeStatement('INSERT INTO t VALUES ($a)', { a: 1 });
    expect(await numbers(other)).toEqual([1]);
  });

  it('all fail when the commit does, and the next one works', async () => {
    await database.sequelize.query('CREATE TABLE parent (id INTEGER PRIMARY KEY)');
    await database.sequelize.query(
      'CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)',
    );
    stopClock();
    const works = [1, 2, 3].map((number) =>
      database.write(async (transaction) => {
        await insert(number, transaction);
        if (number === 2) await database.sequelize.query('INSERT INTO child VALUES (7)', { transaction });
      }),
    );
    const failed = expect.stringContaining('FOREIGN KEY constraint failed') as string;
    expect(await outcomes(works)).toEqual([failed, failed, failed]);
    expect(await numbers(other)).toEqual([]);
    await database.write((transaction) => insert(4, transaction));
    await other.writeStatement('INSERT INTO t VALUES ($a)', { a: 5 });
    expect(await numbers(other)).toEqual([4, 5]);
  });

  it('all fail when their transaction is lost on the way, also those after that', async () => {
    stopClock();
    const works = [1, 2, 3].map((number) =>
      database.write(async (transaction) => {
        await insert(number, transaction);
        // as SQLite does by itself when it can not go on
        if (number === 2) await database.sequelize.query('ROLLBACK', { transaction });
      }),
    );
    const ends = await outcomes(works);
    expect(ends.slice(0, 2)).toEqual([
      expect.stringContaining('no such savepoint'),
      expect.stringContaining('no such savepoint'),
    ]);
    // the third one was not begun: it may be done by a transaction of its own
    expect(await numbers(other)).toEqual(ends[2] === 'done' ? [3] : []);
    await database.write((transaction) => insert(4, transaction));
    expect(await numbers(other)).toContain(4);
  });

  it('are there exactly when they were promised, when the database can not grow any more', async () => {
    await database.sequelize.query('CREATE TABLE large (a INTEGER, bytes BLOB)');
    await database.write(async (transaction) => {
      await database.sequelize.query('PRAGMA max_page_count = 40', { transaction });
    });
    const works = Array.from({ length: 20 }, (_, number) =>
      database.write(async (transaction) => {
        await insert(number, transaction);
        await database.sequelize.query('INSERT INTO large VALUES (?, zeroblob(20000))', {
          replacements: [number],
          transaction,
        });
      }),
    );
    const ends = await outcomes(works);
    expect(ends).toContain('done');
    expect(ends).toContainEqual(expect.stringContaining('full'));
    expect(await numbers(other)).toEqual(ends.flatMap((end, number) => (end === 'done' ? [number] : [])));
  });
});

describe('one work', () => {
  it('leaves nothing to statements that it did not wait for', async () => {
    let late: Promise<void> | undefined;
    const forgetful = database.write(async (transaction) => {
      late = sleep(1).then(() => insert(1, transaction));
      late.catch(() => undefined);
    });
    const next = database.write(async (transaction) => {
      await sleep(20);
      await insert(2, transaction);
    });
    await Promise.all([forgetful, next]);
    await expect(late).rejects.toThrow('you can no longer use it');
    expect(await numbers(other)).toEqual([2]);
  });

  it('that need not survive a power cut waits for those before it', async () => {
    const order: number[] = [];
    const quick = (a: number): Promise<unknown> =>
      database.writeStatement('INSERT INTO t VALUES ($a)', { a }, { durable: false }).then(() => order.push(a));
    const first = quick(1);
    await sleep(0);
    await Promise.all([
      first,
      database.write((transaction) => insert(2, transaction)).then(() => order.push(2)),
      quick(3),
    ]);
    expect(order).toEqual([1, 2, 3]);
    expect(await numbers(other)).toEqual([1, 2, 3]);
  });

  it('is refused after the database was closed', async () => {
    const one = await Database.open(url);
    await one.close();
    await expect(one.write(async () => undefined)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('a process that writes without end', () => {
  /** @param enough called with each number that was promised; true ends it */
  async function writeOn(enough: (number: number) => boolean): Promise<number[]> {
    const child = spawn(process.execPath, ['--import', 'tsx/esm', WRITE_ON, url], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'exit');
    const promised: number[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      promised.push(Number(line));
      if (enough(Number(line))) child.kill('SIGKILL');
    }
    await exit;
    return promised;
  }

  it.each([1, 100, 1000])('has written all that it promised when it is killed after %i', async (count) => {
    const promised = await writeOn((number) => number >= count);
    expect(promised.length).toBeGreaterThan(0);
    const there = new Set(await numbers(other));
    expect(promised.filter((number) => !there.has(number))).toEqual([]);
  });

  it('lets others write', async () => {
    let written = 0;
    let writing: Promise<void> | undefined;
    const writeSome = async (): Promise<void> => {
      for (; written < 5; written += 1) await database.writeStatement('INSERT INTO t VALUES ($a)', { a: -1 });
    };
    await writeOn(() => {
      writing ??= writeSome();
      return written === 5;
    });
    await writing;
    expect((await numbers(other)).filter((number) => number === -1)).toHaveLength(5);
  }, 60_000);
});

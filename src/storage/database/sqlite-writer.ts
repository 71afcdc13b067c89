import { setTimeout as sleep } from 'node:timers/promises';
import { type Sequelize, Transaction } from 'sequelize';
import sqlite3 from 'sqlite3';
import { PacificaError } from '../../lib/errors.js';
import { SqliteConnection } from './sqlite-connection.js';

/** ms of writing after which other processes get their turn, and how long that is */
const TURN = 20;
const PAUSE = 5;

/** A work that waits for its turn. */
interface Work {
  readonly durable: boolean;
  /** it is one statement, which leaves nothing when it fails */
  readonly isStatement: boolean;
  /** @returns what tells its caller that it is committed */
  run(transaction: Transaction): Promise<() => void>;
  fail(error: unknown): void;
}

/**
 * All that this process writes to one SQLite file, one work after the other in the order of asking. Works that wait at
 * the same time share one transaction, and so one connection and one fsync: each has a savepoint of its own, so that one
 * that throws leaves nothing and takes nobody with it. None is told that it is done before the commit that they share.
 */
export class SqliteWriter {
  readonly #sequelize: Sequelize;
  readonly #file: string;
  readonly #waiting: Work[] = [];
  /** with `synchronous = FULL`, and without for what a power cut may take */
  readonly #connections = new Map<'durable' | 'quick', Promise<sqlite3.Database>>();
  #writing: Promise<void> | undefined;
  #closed = false;

  /** @param sequelize whose queries will be given the transactions */
  constructor(sequelize: Sequelize, file: string) {
    this.#sequelize = sequelize;
    this.#file = file;
  }

  /**
   * Runs `work`; what it writes is committed when this resolves, and taken back when it throws.
   * @param options.durable false: a power cut may take it back
   * @param options.isStatement it is one statement
   */
  write<T>(
    work: (transaction: Transaction) => Promise<T>,
    { durable, isStatement }: Pick<Work, 'durable' | 'isStatement'>,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new PacificaError('unavailable', `the database ${this.#file} is closed`);
      this.#waiting.push({
        durable,
        isStatement,
        async run(transaction) {
          const result = await work(transaction);
          return () => resolve(result);
        },
        fail: reject,
      });
      this.#writing ??= this.#writeAll();
    });
  }

  /** Waits for all works, then disconnects; there are no more after that. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    for (const connection of this.#connections.values()) await closed(await connection);
  }

  async #writeAll(): Promise<void> {
    // those who ask in the same turn of the event loop come along
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const end = performance.now() + TURN;
      let shared = false;
      while (this.#waiting.length > 0 && performance.now() < end) {
        const [next] = this.#waiting;
        // without an fsync there is nothing to share
        const alone = this.#waiting.length === 1 || next?.durable === false;
        if (next?.isStatement === true && alone) await this.#writeAlone(next);
        else {
          shared = true;
          await this.#writeGroup(end);
        }
      }
      // who waits for the lock in another process looks for it only now and then
      if (shared && this.#waiting.length > 0) await sleep(PAUSE);
    }
    this.#writing = undefined;
  }

  /** A statement is a transaction by itself, and its lock lasts no longer: other processes hardly wait. */
  async #writeAlone(work: Work): Promise<void> {
    const kind = work.durable ? 'durable' : 'quick';
    this.#waiting.shift();
    try {
      const connection = await this.#connection(kind);
      const done = await work.run(this.#transactionOn(connection));
      done();
    } catch (error) {
      work.fail(error);
    }
  }

  /** One transaction. @param end time after which no more works are taken into it */
  async #writeGroup(end: number): Promise<void> {
    const kind = this.#waiting.some(({ durable }) => durable) ? 'durable' : 'quick';
    const group: Work[] = [];
    const committed: (() => void)[] = [];
    try {
      const connection = await this.#connection(kind);
      await execute(connection, 'BEGIN IMMEDIATE; SAVEPOINT work');
      // those who come meanwhile are taken along
      while (performance.now() < end || group.length === 0) {
        const work = this.#waiting[0];
        if (work === undefined || (work.durable && kind === 'quick')) break;
        this.#waiting.shift();
        group.push(work);
        if (group.length > 1 && !work.isStatement) await execute(connection, 'RELEASE work; SAVEPOINT work');
        const done = await this.#runOne(work, connection);
        if (done !== undefined) committed.push(done);
      }
      // releasing fails when SQLite gave the whole transaction up meanwhile, as it may on a full disk: its savepoint is gone
      await execute(connection, 'RELEASE work; COMMIT');
      for (const done of committed) done();
    } catch (error) {
      // nobody knows what state its transaction is in: closing it takes back what is not committed
      this.#disconnect(kind);
      const all = group.length > 0 ? group : this.#waiting.splice(0);
      for (const work of all) work.fail(error);
    }
  }

  /**
   * @returns what tells the caller that it is committed; undefined when the work failed, which the caller was told
   * @throws when the transaction itself is lost
   */
  async #runOne(work: Work, connection: sqlite3.Database): Promise<(() => void) | undefined> {
    const transaction = this.#transactionOn(connection);
    try {
      // a statement that the work did not wait for is refused afterwards
      return await work.run(transaction).finally(() => Object.assign(transaction, { finished: 'commit' }));
    } catch (error) {
      try {
        if (!work.isStatement) await execute(connection, 'ROLLBACK TO work');
      } finally {
        work.fail(error);
      }
      return undefined;
    }
  }

  /** @returns what makes queries of Sequelize use a connection */
  #transactionOn(connection: sqlite3.Database): Transaction {
    return Object.assign(new Transaction(this.#sequelize, {}), { connection });
  }

  async #connection(kind: 'durable' | 'quick'): Promise<sqlite3.Database> {
    let connection = this.#connections.get(kind);
    if (connection === undefined) {
      connection = this.#connect(kind);
      this.#connections.set(kind, connection);
      connection.catch(() => this.#connections.delete(kind));
    }
    return connection;
  }

  async #connect(kind: 'durable' | 'quick'): Promise<sqlite3.Database> {
    const connection = await new Promise<sqlite3.Database>((resolve, reject) => {
      const opened = new SqliteConnection(this.#file, sqlite3.OPEN_READWRITE, (error) =>
        error === null ? resolve(opened) : reject(error),
      );
    });
    // as Sequelize has it on its own
    await execute(connection, 'PRAGMA foreign_keys = ON');
    if (kind === 'quick') await execute(connection, 'PRAGMA synchronous = NORMAL');
    return connection;
  }

  #disconnect(kind: 'durable' | 'quick'): void {
    const connection = this.#connections.get(kind);
    this.#connections.delete(kind);
    // what can not be closed, or was never opened: the next write has a connection of its own, and tells
    connection?.then(closed).catch(() => undefined);
  }
}

/** Runs statements when all that the connection was given before is done; none after the first that fails. */
function execute(connection: sqlite3.Database, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.exec(sql, (error) => (error === null ? resolve() : reject(error)));
  });
}

function closed(connection: sqlite3.Database): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.close((error) => (error === null ? resolve() : reject(error)));
  });
}

import { existsSync } from 'node:fs';
import { access, constants, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sequelize, Transaction } from 'sequelize';
import sqlite3 from 'sqlite3';
import { messageOf, mayPass, PacificaError, systemCode } from '../../lib/errors.js';
import { maskSecrets } from '../../lib/mask-secrets.js';
import { Mutex } from '../../lib/mutex.js';

/** ms that a statement waits for another process's write lock before it fails with "busy" */
const BUSY_TIMEOUT = 30_000;

/**
 * Sequelize opens a connection of its own for every transaction, and PRAGMAs hold for one connection only; so each
 * connection sets its own at birth.
 * @param synchronous FULL: in WAL mode it is what makes a commit survive a power cut
 */
function configured(synchronous: 'FULL' | 'NORMAL') {
  return class extends sqlite3.Database {
    constructor(filename: string, mode: number, callback: (error: Error | null) => void) {
      super(filename, mode, callback);
      this.configure('busyTimeout', BUSY_TIMEOUT);
      // without a callback a failure would end the process; what is wrong with a file is told by its first statement
      this.run(`PRAGMA synchronous = ${synchronous}`, () => undefined);
    }
  };
}

export interface DatabaseOptions {
  /** make the SQLite file when there is none (default); else that is `not-found` */
  create?: boolean;
  /** how many times a database that can not be reached is tried */
  connectAttempts?: number;
  /** ms between two tries */
  connectWait?: number;
  /** told before each wait why the try failed */
  onWait?: (reason: string) => void;
  /** ends the waiting */
  signal?: AbortSignal;
}

/**
 * One database of ours: an SQLite file (`sqlite:///path`) or PostgreSQL (`postgres://...`).
 *
 * On SQLite all writes of this process go through {@link write}, one at a time: several writers would wait for each
 * other inside the few threads that Node has for files, and starve the one that holds the lock. Other processes are
 * waited for by the busy timeout.
 */
export class Database {
  readonly sequelize: Sequelize;
  readonly dialect: 'sqlite' | 'postgres';
  /** absolute path of the SQLite file */
  readonly file: string | undefined;
  /** what it was opened with, password included: never to be logged */
  readonly url: string;
  readonly #writes = new Mutex();
  /** SQLite: the connections of {@link writeStatement}, apart from the one that everybody reads with */
  readonly #writers: { readonly durable: Sequelize; readonly quick: Sequelize };

  private constructor(
    url: string,
    sequelize: Sequelize,
    writers: { durable: Sequelize; quick: Sequelize },
    file?: string,
  ) {
    this.url = url;
    this.sequelize = sequelize;
    this.#writers = writers;
    this.dialect = file === undefined ? 'postgres' : 'sqlite';
    this.file = file;
  }

  /**
   * Connects. Changes nothing in a database that is there.
   * @param url `sqlite:///absolute/path` or `postgres://user:password@host/name`
   * @throws PacificaError `unavailable` when it can not be reached, `forbidden` when the folder can not be written
   */
  static async open(url: string, options: DatabaseOptions = {}): Promise<Database> {
    const database = url.startsWith('sqlite:')
      ? await Database.#sqlite(url, options.create ?? true)
      : await Database.#postgres(url);
    const attempts = options.connectAttempts ?? 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await database.#connect();
        return database;
      } catch (error) {
        const cause = rootCause(error);
        if (attempt >= attempts || !(mayPass(cause) || isBusy(cause))) {
          await database.close().catch(() => undefined);
          throw new PacificaError('unavailable', `can not open the database ${maskSecrets(url)}: ${messageOf(cause)}`, {
            hint: 'check that it runs, and [database] url in the configuration',
            cause: error,
          });
        }
        options.onWait?.(
          `can not reach the database ${maskSecrets(url)} (try ${attempt} of ${attempts}): ${messageOf(cause)}`,
        );
        await sleep(options.connectWait ?? 1000, undefined, { signal: options.signal });
      }
    }
  }

  static async #sqlite(url: string, create: boolean): Promise<Database> {
    const file = decodeURIComponent(new URL(url).pathname);
    if (!create && !existsSync(file)) {
      throw new PacificaError('not-found', `there is no database ${file}`, {
        hint: 'run "pacifica db sync" or start a daemon to make it, or choose another one with --data-dir',
      });
    }
    const folder = dirname(file);
    try {
      await mkdir(folder, { recursive: true });
      await access(existsSync(file) ? file : folder, constants.W_OK);
    } catch (error) {
      throw new PacificaError('forbidden', `can not write the database file ${file}: ${messageOf(error)}`, {
        hint: 'choose another folder with --data-dir, or mend its permissions',
        cause: error,
      });
    }
    const connection = (synchronous: 'FULL' | 'NORMAL'): Sequelize =>
      new Sequelize({
        dialect: 'sqlite',
        dialectModule: { ...sqlite3, Database: configured(synchronous) },
        storage: file,
        logging: false,
      });
    const writers = { durable: connection('FULL'), quick: connection('NORMAL') };
    return new Database(url, connection('FULL'), writers, file);
  }

  static async #postgres(url: string): Promise<Database> {
    // loaded when needed: sites on SQLite never do
    const [{ default: pg }, { PostgresClient }] = await Promise.all([import('pg'), import('./postgres-client.js')]);
    const sequelize = new Sequelize(url, {
      dialect: 'postgres',
      dialectModule: { ...pg, Client: PostgresClient },
      logging: false,
      pool: { max: 10, acquire: 30_000 },
      dialectOptions: { application_name: 'pacifica' },
    });
    return new Database(url, sequelize, { durable: sequelize, quick: sequelize });
  }

  async #connect(): Promise<void> {
    await this.sequelize.authenticate();
  }

  /**
   * Runs `work` in a transaction that is committed, durably, when this resolves, and rolled back when `work` throws.
   * Pass the transaction to every query. Do nothing slow in it: on SQLite everybody else waits.
   */
  async write<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    if (this.dialect === 'postgres') return this.sequelize.transaction(work);
    // IMMEDIATE takes the write lock at once: a transaction that reads first and then writes would fail as busy,
    // without waiting, when another process wrote in between
    return this.#writes.run(() => this.sequelize.transaction({ type: Transaction.TYPES.IMMEDIATE }, work));
  }

  /**
   * Runs one statement that writes, a transaction by itself, without the cost of a new connection that {@link write}
   * has on SQLite. For what is written hundreds of times a second.
   * @param bind values of `$name` in the statement, each of them named there
   * @param options.durable false: on SQLite a power cut may take it back, together with all that was written after it
   * and not durably either. For what is only a note of work that would then be done again.
   * @returns the rows of its RETURNING clause
   */
  async writeStatement<Row extends object>(
    sql: string,
    bind: Record<string, unknown>,
    { durable = true }: { durable?: boolean } = {},
  ): Promise<Row[]> {
    const writer = durable ? this.#writers.durable : this.#writers.quick;
    // Sequelize drops what RETURNING returns when the text begins with "INSERT INTO", hence the comment
    const run = async (): Promise<Row[]> => (await writer.query(`/* */ ${sql}`, { bind }))[0] as Row[];
    return this.dialect === 'postgres' ? run() : this.#writes.run(run);
  }

  /** @returns names of all tables */
  async tables(): Promise<string[]> {
    return this.sequelize.getQueryInterface().showAllTables();
  }

  /** Waits for the write under way, then disconnects. */
  async close(): Promise<void> {
    await this.#writes.run(async () => {
      const all = new Set([this.sequelize, this.#writers.durable, this.#writers.quick]);
      await Promise.all([...all].map((sequelize) => sequelize.close()));
    });
  }
}

/** @returns the driver's error below Sequelize's wrappers */
function rootCause(error: unknown): unknown {
  if (error instanceof Error && 'parent' in error && error.parent instanceof Error) return rootCause(error.parent);
  return error;
}

function isBusy(error: unknown): boolean {
  // PostgreSQL: 57P03 cannot_connect_now (it is starting), 53300 too_many_connections
  return ['SQLITE_BUSY', '57P03', '53300'].includes(systemCode(error) ?? '');
}

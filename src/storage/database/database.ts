import { existsSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Sequelize, type Transaction } from 'sequelize';
import sqlite3 from 'sqlite3';
import { messageOf, mayPass, PacificaError, systemCode } from '../../lib/errors.js';
import { makeFolders } from '../../lib/make-folders.js';
import { maskSecrets } from '../../lib/mask-secrets.js';
import { ONCE, type Patience, persist } from '../../lib/persist.js';
import { SqliteConnection } from './sqlite-connection.js';
import { SqliteWriter } from './sqlite-writer.js';

export interface DatabaseOptions {
  /** make the SQLite file when there is none (default); else that is `not-found` */
  create?: boolean;
  /** how long a database that can not be reached is tried. Default: once */
  patience?: Patience;
}

/** ms until a connection to PostgreSQL must stand */
const CONNECT_TIMEOUT = 10_000;

/**
 * One database of ours: an SQLite file (`sqlite:///path`) or PostgreSQL (`postgres://...`).
 *
 * On SQLite all writes of this process go through {@link write}, one at a time and by one connection
 * ({@link SqliteWriter}): several writers would wait for each other inside the few threads that Node has for files, and
 * starve the one that holds the lock. Other processes are waited for by the busy timeout.
 */
export class Database {
  readonly sequelize: Sequelize;
  readonly dialect: 'sqlite' | 'postgres';
  /** absolute path of the SQLite file */
  readonly file: string | undefined;
  /** what it was opened with, password included: never to be logged */
  readonly url: string;
  /** SQLite: apart from the connection that everybody reads with */
  readonly #writer: SqliteWriter | undefined;

  private constructor(url: string, sequelize: Sequelize, file?: string) {
    this.url = url;
    this.sequelize = sequelize;
    this.#writer = file === undefined ? undefined : new SqliteWriter(sequelize, file);
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
    const name = maskSecrets(url);
    try {
      const comes = (error: unknown): boolean => mayPass(error) || isBusy(error);
      await persist(() => database.#connect(), options.patience ?? ONCE, `can not reach the database ${name}`, comes);
      return database;
    } catch (error) {
      // not waited for: a connection that does not come would hold us up
      database.close().catch(() => undefined);
      options.patience?.signal?.throwIfAborted();
      throw new PacificaError('unavailable', `can not open the database ${name}: ${messageOf(error)}`, {
        hint: 'check that it runs, and [database] url in the configuration',
        cause: error,
      });
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
      await makeFolders(folder);
      await access(existsSync(file) ? file : folder, constants.W_OK);
    } catch (error) {
      throw new PacificaError('forbidden', `can not write the database file ${file}: ${messageOf(error)}`, {
        hint: 'choose another folder with --data-dir, or mend its permissions',
        cause: error,
      });
    }
    const sequelize = new Sequelize({
      dialect: 'sqlite',
      dialectModule: { ...sqlite3, Database: SqliteConnection },
      storage: file,
      logging: false,
    });
    return new Database(url, sequelize, file);
  }

  static async #postgres(url: string): Promise<Database> {
    // loaded when needed: sites on SQLite never do
    const [{ default: pg }, { PostgresClient }] = await Promise.all([import('pg'), import('./postgres-client.js')]);
    try {
      const { place, user, password } = splitUser(url);
      const sequelize = new Sequelize(place, {
        username: user,
        password,
        dialect: 'postgres',
        dialectModule: { ...pg, Client: PostgresClient },
        logging: false,
        pool: { max: 10, acquire: 30_000 },
        dialectOptions: { application_name: 'pacifica', connectionTimeoutMillis: CONNECT_TIMEOUT },
      });
      return new Database(url, sequelize);
    } catch (error) {
      const reason = messageOf(error);
      throw new PacificaError('invalid', `the database URL ${maskSecrets(url)} can not be read: ${reason}`, {
        hint: 'write what means something in a URL with %, in user and password: @ is %40, % is %25',
      });
    }
  }

  async #connect(): Promise<void> {
    try {
      await this.sequelize.authenticate();
    } catch (error) {
      const cause = rootCause(error);
      // the driver's words when nobody answers
      if (messageOf(cause) !== 'timeout expired') throw cause;
      throw new PacificaError('timeout', `no answer within ${CONNECT_TIMEOUT / 1000} s`, { cause });
    }
  }

  /**
   * Runs `work` in a transaction that is committed, durably, when this resolves, and rolled back when `work` throws.
   * Pass the transaction to every query, and wait for each. Do nothing slow in it: on SQLite everybody else waits.
   */
  async write<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#writer === undefined
      ? this.sequelize.transaction(work)
      : this.#writer.write(work, { durable: true, isStatement: false });
  }

  /**
   * Runs one statement that writes, a transaction by itself.
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
    // Sequelize drops what RETURNING returns when the text begins with "INSERT INTO", hence the comment
    const run = async (transaction?: Transaction): Promise<Row[]> =>
      (await this.sequelize.query(`/* */ ${sql}`, { bind, transaction }))[0] as Row[];
    return this.#writer === undefined ? run() : this.#writer.write(run, { durable, isStatement: true });
  }

  /**
   * @param name of a value that is bound: a list as JSON, which is one value however long it is
   * @returns a query of what is in the list, for `IN (...)`
   */
  listed(name: `$${string}`, type: 'text' | 'bigint'): string {
    return this.dialect === 'sqlite'
      ? `SELECT value FROM json_each(${name})`
      : `SELECT CAST(json_array_elements_text(CAST(${name} AS json)) AS ${type})`;
  }

  /** @returns names of all tables */
  async tables(): Promise<string[]> {
    return this.sequelize.getQueryInterface().showAllTables();
  }

  /** Waits for the writes under way, then disconnects. */
  async close(): Promise<void> {
    await this.#writer?.close();
    await this.sequelize.close();
  }
}

/**
 * Takes user and password out of a URL: Sequelize looks for the colon between them when it has decoded both, and so cuts
 * a user's name that has one.
 */
function splitUser(url: string): { place: string; user?: string; password?: string } {
  const at = URL.canParse(url) ? new URL(url) : undefined;
  if (at === undefined || at.username === '') return { place: url };
  const [user, password] = [decodeURIComponent(at.username), decodeURIComponent(at.password)];
  at.username = '';
  at.password = '';
  return { place: at.href, user, password };
}

/** @returns the driver's error below Sequelize's wrappers, and below that of {@link Database.open} */
export function rootCause(error: unknown): unknown {
  if (error instanceof PacificaError) return error.code === 'unavailable' ? (error.cause ?? error) : error;
  if (error instanceof Error && 'parent' in error && error.parent instanceof Error) return rootCause(error.parent);
  return error;
}

function isBusy(error: unknown): boolean {
  // PostgreSQL: 57P03 cannot_connect_now (it is starting), 53300 too_many_connections
  return ['SQLITE_BUSY', '57P03', '53300'].includes(systemCode(error) ?? '');
}

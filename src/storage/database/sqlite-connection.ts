import sqlite3 from 'sqlite3';
import { Lru } from '../../lib/lru.js';

/** ms that a statement waits for another process's write lock before it fails with "busy" */
const BUSY_TIMEOUT = 30_000;
/** statements that are kept */
const KEPT = 100;

/** As the driver calls it: `this` is the statement, which knows how many rows were changed and the id of the last one. */
type Callback = (this: unknown, error: Error | null, rows?: unknown[]) => void;

/**
 * A connection to an SQLite file.
 *
 * For every query the driver makes a statement anew: the SQL is read again, on a second way through Node's thread pool and
 * back. And before every query of a table Sequelize asks for its columns. Here statements that are given parameters are
 * kept for the next time, and so are the columns.
 */
export class SqliteConnection extends sqlite3.Database {
  readonly #statements = new Lru<string, sqlite3.Statement>(KEPT, (statement) => statement.finalize());
  /** by the query that asks for them */
  readonly #columns = new Map<string, unknown[]>();
  #closing = false;

  constructor(filename: string, mode: number, callback: (error: Error | null) => void) {
    super(filename, mode, callback);
    this.configure('busyTimeout', BUSY_TIMEOUT);
    // PRAGMAs hold for one connection only; so each sets its own at birth. In WAL mode this one is what makes a commit
    // survive a power cut. Without a callback a failure would end the process; what is wrong with a file is told by its
    // first statement
    super.run('PRAGMA synchronous = FULL', () => undefined);
    // KiB of the file in memory, a quarter of the default: the system has it in memory as well, and reading a page from there
    // takes microseconds (measured: ingest of 20,000 files 156 MiB resident instead of 174, in the same processor time)
    super.run('PRAGMA cache_size = -500', () => undefined);
    // one query at a time, in the order in which they were asked: the driver lets queries without parameters overtake the
    // others, for as long as there are any, and each would hold one of Node's threads while it waits for the one that runs.
    // Last of all: a setting that waits in such a queue stops it
    this.serialize();
  }

  override all(sql: string, ...rest: unknown[]): this {
    const [only] = rest;
    const isAboutColumns = rest.length === 1 && isCallback(only) && sql.startsWith('PRAGMA table_info(');
    return isAboutColumns ? this.#allColumns(sql, only) : this.#query('all', sql, rest);
  }

  override run(sql: string, ...rest: unknown[]): this {
    // it takes one row of those that come back, and a statement that is kept would hold its lock until the next time
    return /\breturning\b/i.test(sql) ? super.run(sql, ...rest) : this.#query('run', sql, rest);
  }

  /** Waits for what is under way. */
  override close(callback?: (error: Error | null) => void): void {
    this.#closing = true;
    // in its turn: finalizing one waits, in this thread, for the query that runs
    this.wait(() => this.#statements.clear());
    super.close(callback);
  }

  #query(method: 'all' | 'run', sql: string, rest: unknown[]): this {
    const [parameters, callback] = rest;
    if (rest.length !== 2 || !hasValues(parameters) || !isCallback(callback)) return super[method](sql, ...rest);
    // a statement that is there would begin at once, whatever waits for its turn
    return this.wait(() => {
      if (this.#closing) super[method](sql, parameters, callback);
      else this.#queryKept(method, sql, parameters, callback);
    });
  }

  #queryKept(method: 'all' | 'run', sql: string, parameters: object, callback: Callback): void {
    const kept = this.#statements.get(sql);
    if (kept !== undefined) {
      kept[method](parameters, callback);
      return;
    }
    const made = this.prepare(sql);
    this.#statements.set(sql, made);
    // the driver forgets what waits for a statement that it can not make
    const onError = (error: Error): void => {
      this.#statements.delete(sql);
      callback.call(made, error);
    };
    made.once('error', onError);
    made[method](parameters, function (this: unknown, ...result: Parameters<Callback>) {
      // what the first query held is not kept for as long as the statement
      made.off('error', onError);
      callback.apply(this, result);
    });
  }

  /** A table that is there keeps its columns: migrations run before all else. */
  #allColumns(sql: string, callback: Callback): this {
    const known = this.#columns.get(sql);
    if (known !== undefined) {
      process.nextTick(callback, null, known);
      return this;
    }
    return super.all(sql, (error: Error | null, rows: unknown[]) => {
      if (error === null && rows.length > 0) this.#columns.set(sql, rows);
      callback(error, rows);
    });
  }
}

function isCallback(value: unknown): value is Callback {
  return typeof value === 'function';
}

function hasValues(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

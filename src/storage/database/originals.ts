import { QueryTypes } from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';

/** What came of taking things over from an original service. */
export interface Import {
  /** taken over now; with a dry run, what would be */
  imported: number;
  /** here already: taken over before, or newer than what the original has */
  present: number;
  /** can not be taken over; each one was told with its reason */
  leftOut: number;
}

export interface ImportOptions {
  /** only look */
  readonly dryRun: boolean;
  /** told what is left out, and why */
  readonly onLeftOut: (reason: string) => void;
}

/** A cart that is ready and the newest of its uid. Times as they stand there: local, without a zone. */
export interface OriginalCart {
  readonly id: number;
  readonly uid: string;
  readonly bundle: boolean;
  readonly created: string;
  readonly updated: string;
}

/** A file of a cart, as a client would post it. */
export interface OriginalCartFile {
  readonly id: string;
  readonly path: string;
  readonly hashtype: string;
  readonly hashsum: string;
}

/** A job. Times as they stand there: UTC, without a zone. */
export interface OriginalJob {
  readonly id: number;
  readonly state: string;
  readonly task: string;
  readonly percent: number;
  readonly exception: string;
  readonly created: string;
  readonly updated: string;
}

/** Rows a query. */
const BATCH = 500;

type Row = Readonly<Record<string, unknown>>;

/**
 * Reads the tables of an original service (cartd, ingest, uniqueid; peewee on SQLite or PostgreSQL). Of columns that
 * came with a later version of it, those that are missing have their default. Nothing is changed.
 */
export class OriginalTables {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The counters of the unique ids: for each mode the number that is handed out next. */
  async uniqueIndexes(): Promise<{ mode: string; next: number }[]> {
    await this.#columns('uniqueindex');
    const rows = await this.#select('SELECT id, "index" AS next FROM uniqueindex ORDER BY id', {});
    return rows.map(({ id, next }) => ({ mode: text(id), next: Number(next) }));
  }

  /** All jobs in the order of their ids, some at a time. */
  async *jobs(): AsyncGenerator<OriginalJob[]> {
    await this.#columns('ingeststate');
    const sql = `SELECT id, state, task, task_percent, exception, CAST(created AS TEXT) AS created,
      CAST(updated AS TEXT) AS updated FROM ingeststate WHERE id > :after ORDER BY id LIMIT ${BATCH}`;
    yield* this.#batches(sql, {}, (row) => ({
      id: Number(row.id),
      state: text(row.state),
      task: text(row.task),
      percent: Number(row.task_percent),
      exception: text(row.exception),
      created: text(row.created),
      updated: text(row.updated),
    }));
  }

  /** All carts that can be downloaded, in the order of their ids, some at a time. */
  async *readyCarts(): AsyncGenerator<OriginalCart[]> {
    const columns = await this.#columns('cart');
    const bundle = columns.has('bundle') ? 'bundle' : 'NULL';
    const sql = `SELECT id, cart_uid, ${bundle} AS bundle, CAST(creation_date AS TEXT) AS created,
      CAST(updated_date AS TEXT) AS updated FROM cart WHERE id > :after AND status = 'ready' AND deleted_date IS NULL
      AND NOT EXISTS (SELECT 1 FROM cart AS newer WHERE newer.cart_uid = cart.cart_uid AND newer.id > cart.id
        AND newer.deleted_date IS NULL) ORDER BY id LIMIT ${BATCH}`;
    yield* this.#batches(sql, {}, (row) => ({
      id: Number(row.id),
      uid: text(row.cart_uid),
      bundle: row.bundle === true || row.bundle === 1,
      created: text(row.created),
      updated: text(row.updated),
    }));
  }

  /** All files of a cart. */
  async cartFiles(cartId: number): Promise<OriginalCartFile[]> {
    const sql = `SELECT id, file_name, bundle_path, hash_type, hash_value FROM file
      WHERE cart_id = :cartId AND id > :after ORDER BY id LIMIT ${BATCH}`;
    const files: OriginalCartFile[] = [];
    for await (const batch of this.#batches(sql, { cartId }, (row) => ({
      row: Number(row.id),
      id: text(row.file_name),
      path: text(row.bundle_path),
      hashtype: text(row.hash_type),
      hashsum: text(row.hash_value),
    }))) {
      for (const { id, path, hashtype, hashsum } of batch) files.push({ id, path, hashtype, hashsum });
    }
    return files;
  }

  /** @throws PacificaError `invalid` when the table is not there */
  async #columns(table: string): Promise<Set<string>> {
    if (!(await this.#database.tables()).includes(table)) {
      throw new PacificaError('invalid', `there is no table "${table}" in the database of --from`, {
        hint: 'compare --service with the database: each original service has one of its own',
      });
    }
    return new Set(Object.keys(await this.#database.sequelize.getQueryInterface().describeTable(table)));
  }

  async *#batches<T>(sql: string, replacements: Record<string, unknown>, make: (row: Row) => T): AsyncGenerator<T[]> {
    for (let after = -1; ;) {
      const rows = await this.#select(sql, { ...replacements, after });
      if (rows.length > 0) yield rows.map(make);
      if (rows.length < BATCH) return;
      after = Number(rows.at(-1)?.id);
    }
  }

  async #select(sql: string, replacements: Record<string, unknown>): Promise<Row[]> {
    return this.#database.sequelize.query<Row>(sql, { type: QueryTypes.SELECT, replacements });
  }
}

/**
 * @param zone `Z` where the service writes UTC, empty where it writes local time
 * @returns ms since 1970 of a time as peewee stores it: `2018-01-25 16:54:50.554431`
 */
export function originalTime(time: string, zone: 'Z' | ''): number {
  const ms = Date.parse(`${time.trim().slice(0, 23).replace(' ', 'T')}${zone}`);
  if (Number.isNaN(ms)) throw new PacificaError('invalid', `"${time}" is no time`);
  return ms;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

import { randomUUID } from 'node:crypto';
import { QueryTypes } from 'sequelize';
import type { ArchiveId } from '../../lib/archive-id.js';
import { Batcher } from '../../lib/batcher.js';
import { databaseFull } from '../../lib/errors.js';
import type { Database } from './database.js';

/** What is known of one version of a file of the archive. */
export interface FileRecord {
  readonly id: ArchiveId;
  /** etag of the version; null where the storage can not tell it before the file is visible */
  readonly version: string | null;
  /** bytes */
  readonly size: number;
  /** ms since 1970, whole */
  readonly mtime: number;
  /** how it was hashed; null when it was not */
  readonly algorithm: string | null;
  /** lower-case hex */
  readonly digest: string | null;
}

/**
 * - `pending`: written before the file becomes visible; whether it did, only the storage can tell
 * - `settled`: the file was there
 * - `old`: another version was settled after it
 * - `deleting`: written before the file is taken away
 */
export type RecordState = 'pending' | 'settled' | 'old' | 'deleting';

export interface StoredRecord extends FileRecord {
  /** names the row */
  readonly key: string;
  readonly state: RecordState;
  /** when the state was set, ms since 1970 */
  readonly changed: number;
}

interface Row {
  record_id: string;
  file_id: string;
  version: string | null;
  size: number | string;
  mtime: number | string;
  algorithm: string | null;
  digest: string | null;
  state: RecordState;
  changed: number | string;
}

interface Settlement {
  readonly key: string;
  readonly id: ArchiveId;
  readonly version: string | null;
}

const TABLE = 'pacifica_archive_file';
/** rows a statement */
const BATCH = 500;
/** Rows to insert out of a list that is bound as JSON. (Measured: half the time of a bind a value.) */
const SQLITE_ROWS = `SELECT value ->> 'key', value ->> 'id', value ->> 'version', value ->> 'size', value ->> 'mtime',
         value ->> 'algorithm', value ->> 'digest', 'pending', $now
       FROM json_each($rows)`;
const POSTGRES_ROWS = `SELECT key, id, version, size, mtime, algorithm, digest, 'pending', CAST($now AS bigint)
       FROM json_to_recordset(CAST($rows AS json))
         AS r (key text, id text, version text, size bigint, mtime bigint, algorithm text, digest text)`;

/**
 * Records of the archive's files: table `pacifica_archive_file`. A file may have several rows, one a version; the one
 * whose version is the file's speaks of it. Rows are never changed but for their state and a version that was unknown.
 */
export class ArchiveFiles {
  readonly #database: Database;
  readonly #dialect: Database['dialect'];
  readonly #inserts: Batcher<{ key: string; record: FileRecord }>;
  readonly #settlements: Batcher<Settlement>;

  constructor(database: Database) {
    this.#database = database;
    this.#dialect = database.dialect;
    this.#inserts = new Batcher((rows) => this.#insert(rows), BATCH);
    this.#settlements = new Batcher((rows) => this.#settle(rows), BATCH);
  }

  /**
   * Writes down, durably, what is about to become visible. Calls that come together share a transaction.
   * @returns the key for {@link settle}
   */
  async announce(record: FileRecord): Promise<string> {
    const key = randomUUID();
    await this.#inserts.add({ key, record });
    return key;
  }

  /**
   * Writes down that it is visible. Not durable: what a power cut takes back is mended later.
   * @param version etag that it turned out to have, where the record has none
   */
  async settle(key: string, id: ArchiveId, version: string | null): Promise<void> {
    await this.#settlements.add({ key, id, version });
  }

  /**
   * Writes down, durably, that a file is about to be taken away.
   * @param version etag of the one that is there; what is announced beside it is somebody's who is at work
   */
  async deleting(id: ArchiveId, version: string): Promise<void> {
    await this.#write(
      `UPDATE ${TABLE} SET state = 'deleting', changed = $now
       WHERE file_id = $id AND (state <> 'pending' OR version = $version)`,
      { id, version, now: Date.now() },
    );
  }

  /** Removes the rows of a file that was taken away since {@link deleting}; what was announced after it stays. */
  async deleted(id: ArchiveId): Promise<void> {
    await this.#write(`DELETE FROM ${TABLE} WHERE file_id = $id AND state = 'deleting'`, { id }, { durable: false });
  }

  /** @returns all rows of a file, the newest first */
  async find(id: ArchiveId): Promise<StoredRecord[]> {
    return this.#select('WHERE file_id = $id ORDER BY changed DESC', { id });
  }

  /** @returns the rows of several files as in {@link find}; none for those without */
  async findMany(ids: readonly ArchiveId[]): Promise<Map<ArchiveId, StoredRecord[]>> {
    const rows = new Map<ArchiveId, StoredRecord[]>();
    if (ids.length === 0) return rows;
    const where = `WHERE file_id IN (${this.#database.listed('$ids', 'text')}) ORDER BY changed DESC`;
    for (const row of await this.#select(where, { ids: JSON.stringify(ids) })) {
      const known = rows.get(row.id);
      if (known === undefined) rows.set(row.id, [row]);
      else known.push(row);
    }
    return rows;
  }

  /** @returns up to 500 rows that are in an unsettled state since before `time`, the oldest first */
  async unsettled(time: number): Promise<StoredRecord[]> {
    return this.#select(`WHERE state <> 'settled' AND changed < $time ORDER BY changed LIMIT ${BATCH}`, { time });
  }

  /** Mends rows: those that speak of the file that is there are settled, the others go. */
  async mend(settled: readonly string[], gone: readonly string[]): Promise<void> {
    if (settled.length > 0) {
      await this.#write(
        `UPDATE ${TABLE} SET state = 'settled' WHERE record_id IN (${this.#database.listed('$keys', 'text')})`,
        {
          keys: JSON.stringify(settled),
        },
      );
    }
    if (gone.length > 0) {
      await this.#write(`DELETE FROM ${TABLE} WHERE record_id IN (${this.#database.listed('$keys', 'text')})`, {
        keys: JSON.stringify(gone),
      });
    }
  }

  /** Waits for what is on its way. */
  async close(): Promise<void> {
    await Promise.all([this.#inserts.idle(), this.#settlements.idle()]);
  }

  async #insert(rows: { key: string; record: FileRecord }[]): Promise<void> {
    const values = rows.map(({ key, record }) => ({ key, ...record }));
    await this.#write(
      `INSERT INTO ${TABLE} (record_id, file_id, version, size, mtime, algorithm, digest, state, changed)
       ${this.#dialect === 'sqlite' ? SQLITE_ROWS : POSTGRES_ROWS}`,
      { rows: JSON.stringify(values), now: Date.now() },
    );
  }

  async #settle(rows: Settlement[]): Promise<void> {
    // of several of one file the last is the one that is there: they come in the order in which they became visible
    const kept = new Set(new Map(rows.map(({ id, key }) => [id, key])).values());
    const replaced = rows.map(({ key }) => key).filter((key) => !kept.has(key));
    const quick = { durable: false };
    await this.#write(
      `UPDATE ${TABLE} SET state = 'old', changed = $now
       WHERE (file_id IN (${this.#database.listed('$ids', 'text')}) AND state = 'settled') OR record_id IN (${this.#database.listed('$old', 'text')})`,
      { ids: JSON.stringify(rows.map(({ id }) => id)), old: JSON.stringify(replaced), now: Date.now() },
      quick,
    );
    await this.#write(
      `UPDATE ${TABLE} SET state = 'settled' WHERE record_id IN (${this.#database.listed('$keys', 'text')}) AND state = 'pending'`,
      { keys: JSON.stringify([...kept]) },
      quick,
    );
    for (const { key, version } of rows.filter((row) => row.version !== null)) {
      await this.#write(`UPDATE ${TABLE} SET version = $version WHERE record_id = $key`, { key, version }, quick);
    }
  }

  async #write(sql: string, bind: Record<string, unknown>, options?: { durable?: boolean }): Promise<void> {
    try {
      await this.#database.writeStatement(sql, bind, options);
    } catch (error) {
      throw databaseFull(error) ?? error;
    }
  }

  async #select(where: string, bind: Record<string, unknown>): Promise<StoredRecord[]> {
    const rows = await this.#database.sequelize.query<Row>(`SELECT * FROM ${TABLE} ${where}`, {
      bind,
      type: QueryTypes.SELECT,
    });
    return rows.map((row) => ({
      key: row.record_id,
      // only ids that were checked are ever written
      id: row.file_id as ArchiveId,
      version: row.version,
      size: Number(row.size),
      mtime: Number(row.mtime),
      algorithm: row.algorithm,
      digest: row.digest,
      state: row.state,
      changed: Number(row.changed),
    }));
  }
}

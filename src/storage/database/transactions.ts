import { setTimeout as sleep } from 'node:timers/promises';
import {
  DataTypes,
  literal,
  type Model,
  type ModelStatic,
  Op,
  QueryTypes,
  type Transaction,
  type WhereOptions,
} from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';

type Literal = ReturnType<typeof literal>;

/** rows a statement, and rows a transaction: others who write wait no longer than for these */
const BATCH = 500;
const BATCHES = 5;
/** ms between two transactions: other processes look for SQLite's lock only every now and then (sqlite3_busy_timeout) */
const PAUSE = 20;

/** One ingest: who, for what, with which instrument. The three are JSON scalars as text. Times are ms since 1970. */
export interface TransactionRow {
  id: number;
  submitter: string;
  project: string;
  instrument: string;
  /** the user who brought it, as the web server in front named him */
  ingest_user: string;
  /** of the content, to tell the same transaction from another one with its id */
  digest: string;
  /** entries of other tables, JSON */
  extra: string | null;
  created: number;
  /** null while its rows are being written: nothing of it is to be seen then */
  completed: number | null;
}

export interface FileRow {
  id: number;
  transaction_id: number;
  name: string;
  subdir: string;
  /** bytes */
  size: number;
  hashtype: string;
  hashsum: string;
  mimetype: string;
  /** ISO 8601 without zone, UTC */
  mtime: string;
  ctime: string;
  /** keys that have no column, JSON */
  extra: string | null;
  created: number;
  deleted: number | null;
}

export interface KeyRow {
  id: number;
  key: string;
  created: number;
}

export interface KeyValueRecord {
  key: string;
  value: string;
}

export interface FileKeyValueRecord extends KeyValueRecord {
  /** the file of the same transaction, null when the reference names none */
  file_id: number | null;
  /** what was sent, JSON */
  reference: string | null;
}

/** A row of one of the tables below a transaction, in the order in which they were sent. */
export type NewRow =
  | { readonly table: 'file'; readonly row: Omit<FileRow, 'created' | 'deleted' | 'transaction_id'> }
  | { readonly table: 'keyValue'; readonly row: KeyValueRecord }
  | { readonly table: 'fileKeyValue'; readonly row: FileKeyValueRecord };

export interface NewTransaction {
  readonly transaction: Omit<TransactionRow, 'created' | 'completed'>;
  /** ids of all its files */
  readonly fileIds: ReadonlySet<number>;
  readonly rows: AsyncIterable<NewRow>;
}

/** All given fields must match. */
export interface FileFilter {
  id?: number;
  name?: string;
  subdir?: string;
  transaction_id?: number;
  hashtype?: string;
  hashsum?: string;
  mimetype?: string;
  /** pattern of the name: `*` is any text, `?` one character; case matters */
  nameGlob?: string;
  /** of the file itself, or of its transaction */
  keyValue?: KeyValueRecord;
  /** only ids less than this */
  below?: number;
  limit?: number;
  offset?: number;
}

interface KeyValueRow {
  transaction_id: number;
  position: number;
  key_id: number;
  value: string;
}
type FileKeyValueRow = KeyValueRow & Pick<FileKeyValueRecord, 'file_id' | 'reference'>;

/** PostgreSQL's driver gives BIGINTs as strings */
type Stored<Row> = { [Column in keyof Row]: number extends Row[Column] ? Row[Column] | string : Row[Column] };
type StoredModel<Row extends object> = Model<Stored<Row>> & Stored<Row>;

type KeyModel = Model<Stored<KeyRow>, Omit<Stored<KeyRow>, 'id'>> & Stored<KeyRow>;

type Owner = Pick<TransactionRow, 'id' | 'digest'>;

/**
 * Transactions, their files and key/values: tables `pacifica_transaction`, `pacifica_file`, `pacifica_key`,
 * `pacifica_transaction_key_value`, `pacifica_file_key_value`.
 *
 * A transaction is written in several database transactions, so that a large one does not lock out everybody else;
 * only its last one makes it visible. What a crash left is gone on with by the next {@link store} of the same content.
 */
export class TransactionTables {
  readonly #database: Database;
  readonly #transactions: ModelStatic<StoredModel<TransactionRow>>;
  readonly #files: ModelStatic<StoredModel<FileRow>>;
  readonly #keys: ModelStatic<KeyModel>;
  readonly #keyValues: ModelStatic<StoredModel<KeyValueRow>>;
  readonly #fileKeyValues: ModelStatic<StoredModel<FileKeyValueRow>>;

  constructor(database: Database) {
    this.#database = database;
    const { sequelize } = database;
    const { BIGINT, INTEGER, TEXT } = DataTypes;
    // Sequelize writes into the objects that it is given, so each model gets its own
    const pair = () => ({
      transaction_id: { type: BIGINT, primaryKey: true },
      position: { type: INTEGER, primaryKey: true },
      key_id: INTEGER,
      value: TEXT,
    });
    const define = <M extends Model>(
      name: string,
      columns: Parameters<typeof sequelize.define<M>>[1],
    ): ModelStatic<M> => sequelize.define<M>(name, columns, { tableName: name, timestamps: false });
    this.#transactions = define<StoredModel<TransactionRow>>('pacifica_transaction', {
      id: { type: BIGINT, primaryKey: true },
      submitter: TEXT,
      project: TEXT,
      instrument: TEXT,
      ingest_user: TEXT,
      digest: TEXT,
      extra: TEXT,
      created: BIGINT,
      completed: BIGINT,
    });
    this.#files = define<StoredModel<FileRow>>('pacifica_file', {
      id: { type: BIGINT, primaryKey: true },
      transaction_id: BIGINT,
      name: TEXT,
      subdir: TEXT,
      size: BIGINT,
      hashtype: TEXT,
      hashsum: TEXT,
      mimetype: TEXT,
      mtime: TEXT,
      ctime: TEXT,
      extra: TEXT,
      created: BIGINT,
      deleted: BIGINT,
    });
    this.#keys = define<KeyModel>('pacifica_key', {
      id: { type: INTEGER, primaryKey: true, autoIncrement: true },
      key: TEXT,
      created: BIGINT,
    });
    this.#keyValues = define<StoredModel<KeyValueRow>>('pacifica_transaction_key_value', pair());
    this.#fileKeyValues = define<StoredModel<FileKeyValueRow>>('pacifica_file_key_value', {
      ...pair(),
      file_id: BIGINT,
      reference: TEXT,
    });
  }

  /**
   * Stores a transaction; all of it is durable and visible when this resolves. The same content again changes nothing.
   * @throws PacificaError `exists` when its id, or one of its file ids, is taken by other content
   */
  async store(record: NewTransaction): Promise<void> {
    const { id, digest } = record.transaction;
    const now = Date.now();
    if (await this.#claim(record.transaction, now)) return;
    const mine = { id, digest };
    const positions = { keyValue: 0, fileKeyValue: 0 };
    let batch: NewRow[] = [];
    for await (const row of record.rows) {
      batch.push(row);
      if (batch.length < BATCH * BATCHES) continue;
      await this.#insert(mine, batch, positions, now);
      batch = [];
      await sleep(PAUSE);
    }
    if (batch.length > 0) await this.#insert(mine, batch, positions, now);

    await this.#database.write(async (transaction) => {
      await this.#requireMine(mine, transaction);
      const stored = await this.#files.count({ where: { transaction_id: id }, transaction });
      if (stored !== record.fileIds.size) throw await this.#fileTaken(record, transaction);
      // not again when a second run of the same ingest was faster
      await this.#transactions.update({ completed: Date.now() }, { where: { id, completed: null }, transaction });
    });
  }

  /** Makes the transaction's row, or takes over one that was never completed. @returns true when all is there already */
  async #claim(row: NewTransaction['transaction'], now: number): Promise<boolean> {
    return this.#database.write(async (transaction) => {
      const own = { ...row, created: now, completed: null };
      await this.#transactions.bulkCreate([own], { ignoreDuplicates: true, transaction });
      const found = await this.#transactions.findByPk(row.id, { raw: true, transaction, lock: true });
      if (found?.digest !== row.digest && found?.completed != null) {
        throw new PacificaError('exists', `transaction ${row.id} is there already, with other content`);
      }
      if (found?.completed != null) return true;
      if (found?.digest !== row.digest) {
        // an attempt that came to nothing; none of it was ever seen
        const where = { transaction_id: row.id };
        await this.#fileKeyValues.destroy({ where, transaction });
        await this.#keyValues.destroy({ where, transaction });
        await this.#files.destroy({ where, transaction });
        await this.#transactions.update(own, { where: { id: row.id }, transaction });
      }
      return false;
    });
  }

  /** Inserts rows of all tables in one database transaction. @param positions of the next ones of a table, counted on */
  async #insert(
    mine: Owner,
    batch: readonly NewRow[],
    positions: { keyValue: number; fileKeyValue: number },
    now: number,
  ): Promise<void> {
    const keys = await this.#keyIds(batch, now);
    const files: FileRow[] = [];
    const keyValues: KeyValueRow[] = [];
    const fileKeyValues: FileKeyValueRow[] = [];
    for (const { table, row } of batch) {
      if (table === 'file') {
        files.push({ ...row, transaction_id: mine.id, created: now, deleted: null });
        continue;
      }
      const position = positions[table];
      positions[table] += 1;
      const pair = { transaction_id: mine.id, position, key_id: keys.get(row.key) ?? 0, value: row.value };
      if (table === 'keyValue') keyValues.push(pair);
      else fileKeyValues.push({ ...pair, file_id: row.file_id, reference: row.reference });
    }
    await this.#database.write(async (transaction) => {
      await this.#requireMine(mine, transaction);
      for (const rows of inBatches(files)) await this.#insertRows(this.#files, rows, transaction);
      for (const rows of inBatches(keyValues)) await this.#insertRows(this.#keyValues, rows, transaction);
      for (const rows of inBatches(fileKeyValues)) await this.#insertRows(this.#fileKeyValues, rows, transaction);
    });
  }

  /** Inserts rows of a table; those that are there already stay. One list is bound instead of a value a column. */
  async #insertRows(model: ModelStatic<Model>, rows: readonly object[], transaction: Transaction): Promise<void> {
    const { tableName } = model;
    const columns = Object.keys(model.getAttributes());
    const source =
      this.#database.dialect === 'sqlite'
        ? `SELECT ${columns.map((column) => `value ->> '${column}'`).join(', ')} FROM json_each($rows) WHERE TRUE`
        : `SELECT ${columns.join(', ')} FROM json_populate_recordset(NULL::${tableName}, CAST($rows AS json))`;
    await this.#database.sequelize.query(
      `INSERT INTO ${tableName} (${columns.join(', ')}) ${source} ON CONFLICT DO NOTHING`,
      { bind: { rows: jsonOf(rows) }, transaction },
    );
  }

  /** Somebody else may have taken the id over since the last batch. Holds the row until the transaction ends. */
  async #requireMine({ id, digest }: Owner, transaction: Transaction): Promise<void> {
    const row = await this.#transactions.findByPk(id, { raw: true, transaction, lock: true });
    if (row?.digest !== digest) {
      throw new PacificaError('aborted', `transaction ${id} is being written with other content`);
    }
  }

  async #keyIds(rows: readonly NewRow[], created: number): Promise<Map<string, number>> {
    const ids = new Map<string, number>();
    const names = [...new Set(rows.flatMap(({ table, row }) => (table === 'file' ? [] : [row.key])))].sort();
    for (let start = 0; start < names.length; start += BATCH) {
      const batch = names.slice(start, start + BATCH);
      const found = await this.#database.write(async (transaction) => {
        const known = await this.#keys.findAll({ where: { key: batch }, raw: true, transaction });
        const missing = batch.filter((name) => !known.some(({ key }) => key === name));
        if (missing.length === 0) return known;
        const values = missing.map((key) => ({ key, created }));
        await this.#keys.bulkCreate(values, { ignoreDuplicates: true, transaction });
        return this.#keys.findAll({ where: { key: batch }, raw: true, transaction });
      });
      for (const { id, key } of found) ids.set(key, Number(id));
    }
    return ids;
  }

  async #fileTaken({ transaction: { id }, fileIds }: NewTransaction, transaction: Transaction): Promise<PacificaError> {
    for (const ids of inBatches([...fileIds])) {
      const taken = await this.#files.findOne({
        where: { id: ids, transaction_id: { [Op.ne]: id } },
        raw: true,
        transaction,
      });
      if (taken !== null) {
        return new PacificaError(
          'exists',
          `file id ${taken.id} belongs to transaction ${taken.transaction_id} already`,
        );
      }
    }
    return new PacificaError('internal', `the files of transaction ${id} are not all there`);
  }

  /** Finds files of completed transactions, the highest id first. */
  async files({ below, limit, offset, nameGlob, keyValue, ...fields }: FileFilter): Promise<FileRow[]> {
    const where: WhereOptions<FileRow> = Object.fromEntries(
      Object.entries<string | number | undefined>(fields).filter(([, value]) => value !== undefined),
    );
    const rows: Stored<FileRow>[] = await this.#files.findAll({
      where: {
        [Op.and]: [
          where,
          ...(below === undefined ? [] : [{ id: { [Op.lt]: below } }]),
          ...(nameGlob === undefined ? [] : [this.#nameLike(nameGlob)]),
          ...(keyValue === undefined ? [] : [this.#withKeyValue(keyValue)]),
          COMPLETED,
        ],
      },
      order: [['id', 'DESC']],
      limit,
      offset,
      raw: true,
    });
    return rows.map((row) => ({
      ...row,
      id: Number(row.id),
      transaction_id: Number(row.transaction_id),
      size: Number(row.size),
      created: Number(row.created),
      deleted: row.deleted === null ? null : Number(row.deleted),
    }));
  }

  /** SQLite's LIKE takes no notice of case, and PostgreSQL has no GLOB. */
  #nameLike(glob: string): Literal {
    const { sequelize } = this.#database;
    if (sequelize.getDialect() === 'sqlite') {
      return literal(`pacifica_file.name GLOB ${sequelize.escape(glob.replaceAll('[', '[[]'))}`);
    }
    const like = glob
      .replace(/[\\%_]/g, '\\$&')
      .replaceAll('*', '%')
      .replaceAll('?', '_');
    return literal(`pacifica_file.name LIKE ${sequelize.escape(like)}`);
  }

  #withKeyValue({ key, value }: KeyValueRecord): Literal {
    const { sequelize } = this.#database;
    const matching = (table: string, column: string): string =>
      `(SELECT v.${column} FROM ${table} v JOIN pacifica_key k ON k.id = v.key_id
        WHERE k.key = ${sequelize.escape(key)} AND v.value = ${sequelize.escape(value)})`;
    return literal(
      `(pacifica_file.transaction_id IN ${matching('pacifica_transaction_key_value', 'transaction_id')}
        OR pacifica_file.id IN ${matching('pacifica_file_key_value', 'file_id')})`,
    );
  }

  /** @returns undefined when there is none, or it is not complete */
  async transaction(id: number): Promise<TransactionRow | undefined> {
    const row: Stored<TransactionRow> | null = await this.#transactions.findOne({
      where: { id, completed: { [Op.ne]: null } },
      raw: true,
    });
    if (row === null) return undefined;
    return { ...row, id: Number(row.id), created: Number(row.created), completed: Number(row.completed) };
  }

  /** Key/values of a transaction, in the order they were sent. */
  async keyValues(transaction: number): Promise<KeyValueRecord[]> {
    return this.#database.sequelize.query<KeyValueRecord>(
      `SELECT k.key, v.value FROM pacifica_transaction_key_value v JOIN pacifica_key k ON k.id = v.key_id
       WHERE v.transaction_id = :transaction ORDER BY v.position`,
      { type: QueryTypes.SELECT, replacements: { transaction } },
    );
  }

  /** Key/values of some files. */
  async fileKeyValues(files: readonly number[]): Promise<(KeyValueRecord & { file_id: number })[]> {
    if (files.length === 0) return [];
    const rows = await this.#database.sequelize.query<KeyValueRecord & { file_id: number | string }>(
      `SELECT v.file_id, k.key, v.value FROM pacifica_file_key_value v JOIN pacifica_key k ON k.id = v.key_id
       WHERE v.file_id IN (:files) ORDER BY v.file_id, v.position`,
      { type: QueryTypes.SELECT, replacements: { files } },
    );
    return rows.map((row) => ({ ...row, file_id: Number(row.file_id) }));
  }

  /** All keys that were ever used, the oldest first. @param filter.above only ids greater than this */
  async keys(filter: {
    id?: number;
    key?: string;
    above?: number;
    limit?: number;
    offset?: number;
  }): Promise<KeyRow[]> {
    const { id, key, above, limit, offset } = filter;
    const rows: Stored<KeyRow>[] = await this.#keys.findAll({
      where: {
        ...(id !== undefined && { id }),
        ...(key !== undefined && { key }),
        ...(above !== undefined && { [Op.and]: [{ id: { [Op.gt]: above } }] }),
      },
      order: [['id', 'ASC']],
      limit,
      offset,
      raw: true,
    });
    return rows.map((row) => ({ ...row, id: Number(row.id), created: Number(row.created) }));
  }
}

function* inBatches<T>(items: readonly T[]): Generator<T[]> {
  for (let start = 0; start < items.length; start += BATCH) yield items.slice(start, start + BATCH);
}

/** @returns JSON of well-formed Unicode: half of a surrogate pair, which no database stores, becomes U+FFFD */
function jsonOf(rows: readonly object[]): string {
  const json = JSON.stringify(rows);
  if (!json.includes('\\ud')) return json;
  return JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'string' ? Buffer.from(value).toString() : value,
  );
}

const COMPLETED = literal(
  `EXISTS (SELECT 1 FROM pacifica_transaction t WHERE t.id = pacifica_file.transaction_id AND t.completed IS NOT NULL)`,
);

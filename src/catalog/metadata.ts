import { parseHashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import type { FileFilter, FileRow, NewTransaction, TransactionTables } from '../storage/database/transactions.js';
import type {
  CatalogFile,
  CatalogKey,
  CatalogTransaction,
  FileQuery,
  KeyQuery,
  Lookups,
  Metadata,
  MetadataEntry,
} from './catalog.js';
import { formatTime } from './times.js';
import { digestOf, readTransaction, type TransactionRecord } from './transaction.js';

/** Metadata in our own database. */
export class EmbeddedMetadata implements Metadata, Lookups {
  readonly #tables: TransactionTables;

  constructor(tables: TransactionTables) {
    this.#tables = tables;
  }

  async validate(metadata: readonly MetadataEntry[]): Promise<void> {
    await readTransaction(metadata);
  }

  async ingest(metadata: readonly MetadataEntry[], user: string): Promise<void> {
    await this.#tables.store(toRows(await readTransaction(metadata), await digestOf(metadata), user));
  }

  async files(query: FileQuery): Promise<CatalogFile[]> {
    const { _id, transaction, hashtype, hashsum, limit, page, ...rest } = query;
    const filter: FileFilter = {
      ...rest,
      id: _id,
      transaction_id: transaction,
      hashtype: hashtype === undefined ? undefined : parseHashType(hashtype),
      hashsum: hashsum?.toLowerCase(),
      ...paging(limit, page),
    };
    return (await this.#tables.files(filter)).map(toFile);
  }

  async keys({ _id, limit, page, ...rest }: KeyQuery): Promise<CatalogKey[]> {
    const rows = await this.#tables.keys({ ...rest, id: _id, ...paging(limit, page) });
    return rows.map(({ id, key, created }) => ({ _id: id, key, created: formatTime(created) }));
  }

  async transaction(id: number): Promise<CatalogTransaction> {
    const row = await this.#tables.transaction(id);
    if (row === undefined) throw new PacificaError('not-found', `No Transaction with an ID of ${id} was found`);
    return {
      _id: row.id,
      submitter: JSON.parse(row.submitter) as unknown,
      project: JSON.parse(row.project) as unknown,
      instrument: JSON.parse(row.instrument) as unknown,
      created: formatTime(row.created),
      updated: formatTime(row.completed ?? row.created),
      keyValues: Object.fromEntries((await this.#tables.keyValues(id)).map(({ key, value }) => [key, value])),
    };
  }

  async fileKeyValues(files: readonly number[]): Promise<Map<number, { key: string; value: string }[]>> {
    const found = new Map<number, { key: string; value: string }[]>();
    for (const { file_id, key, value } of await this.#tables.fileKeyValues(files)) {
      const pairs = found.get(file_id);
      if (pairs === undefined) found.set(file_id, [{ key, value }]);
      else pairs.push({ key, value });
    }
    return found;
  }
}

function paging(limit: number | undefined, page: number | undefined): { limit?: number; offset?: number } {
  if (limit === undefined) return {};
  return { limit, offset: ((page ?? 1) - 1) * limit };
}

function toRows(record: TransactionRecord, digest: string, user: string): NewTransaction {
  const id = required(record.id, 'Transactions._id');
  const now = formatTime(Date.now());
  const own = new Set<unknown>(record.files.map((file) => file.id));
  return {
    transaction: {
      id,
      submitter: JSON.stringify(record.submitter),
      project: JSON.stringify(record.project),
      instrument: JSON.stringify(record.instrument),
      ingest_user: user,
      digest,
      extra: record.others.length === 0 ? null : JSON.stringify(record.others),
    },
    files: record.files.map(({ id: fileId, extra, mtime, ctime, ...file }) => ({
      ...file,
      id: required(fileId, `_id of the file ${JSON.stringify(file.name)}`),
      mtime: mtime ?? ctime ?? now,
      ctime: ctime ?? mtime ?? now,
      extra: Object.keys(extra).length === 0 ? null : JSON.stringify(extra),
    })),
    keyValues: record.keyValues,
    fileKeyValues: record.fileKeyValues.map(({ key, value, reference }) => ({
      key,
      value,
      file_id: typeof reference === 'number' && own.has(reference) ? reference : null,
      reference: reference === undefined ? null : JSON.stringify(reference),
    })),
  };
}

function required(id: number | undefined, what: string): number {
  if (id === undefined) throw new PacificaError('invalid', `the metadata has no ${what}, or it is not an integer`);
  return id;
}

/** A file in the form of the originals' `GET /files`, keys in their order. */
function toFile(row: FileRow): CatalogFile {
  const created = formatTime(row.created);
  return {
    created,
    updated: created,
    deleted: row.deleted === null ? null : formatTime(row.deleted),
    _id: row.id,
    name: row.name,
    subdir: row.subdir,
    mimetype: row.mimetype,
    ctime: row.ctime,
    mtime: row.mtime,
    transaction: row.transaction_id,
    size: row.size,
    hashsum: row.hashsum,
    hashtype: row.hashtype,
    suspense_date: null,
    encoding: 'UTF8',
    ...(row.extra === null ? {} : (JSON.parse(row.extra) as Record<string, unknown>)),
  };
}

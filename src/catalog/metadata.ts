import { parseHashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import type { FileFilter, FileRow, NewRow, TransactionTables } from '../storage/database/transactions.js';
import type {
  CatalogFile,
  CatalogKey,
  CatalogTransaction,
  FileQuery,
  KeyQuery,
  Lookups,
  Metadata,
  MetadataDocument,
} from './catalog.js';
import { formatTime } from './times.js';
import { DocumentDigest, readRecords, readTransaction } from './transaction.js';

/** Metadata in our own database. */
export class EmbeddedMetadata implements Metadata, Lookups {
  readonly #tables: TransactionTables;

  constructor(tables: TransactionTables) {
    this.#tables = tables;
  }

  async validate(metadata: MetadataDocument): Promise<void> {
    await readTransaction(metadata);
  }

  async ingest(metadata: MetadataDocument, user: string): Promise<void> {
    // gone through twice: nothing is written before all of it was checked, and it is never in memory as a whole
    const digest = new DocumentDigest();
    const summary = await readTransaction(metadata, (entry) => digest.add(entry));
    const { id, submitter, project, instrument, fileIds, unnumbered, others } = summary;
    if (unnumbered !== undefined) required(undefined, `_id of the file ${JSON.stringify(unnumbered)}`);
    await this.#tables.store({
      transaction: {
        id: required(id, 'Transactions._id'),
        submitter: JSON.stringify(submitter),
        project: JSON.stringify(project),
        instrument: JSON.stringify(instrument),
        ingest_user: user,
        digest: digest.toString(),
        extra: others.length === 0 ? null : JSON.stringify(others),
      },
      fileIds,
      rows: rowsOf(metadata, fileIds),
    });
  }

  async files(query: FileQuery): Promise<CatalogFile[]> {
    const { _id, transaction, hashtype, hashsum, name_glob: nameGlob, key, value, limit, page, ...rest } = query;
    const filter: FileFilter = {
      ...rest,
      id: _id,
      transaction_id: transaction,
      hashtype: hashtype === undefined ? undefined : parseHashType(hashtype),
      hashsum: hashsum?.toLowerCase(),
      nameGlob,
      keyValue: key === undefined || value === undefined ? undefined : { key, value },
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

async function* rowsOf(metadata: MetadataDocument, own: ReadonlySet<number>): AsyncGenerator<NewRow> {
  const now = formatTime(Date.now());
  for await (const { record } of readRecords(metadata)) {
    if (record.kind === 'file') {
      const { id, extra, mtime, ctime, ...file } = record.file;
      yield {
        table: 'file',
        row: {
          ...file,
          id: required(id, `_id of the file ${JSON.stringify(file.name)}`),
          mtime: mtime ?? ctime ?? now,
          ctime: ctime ?? mtime ?? now,
          extra: Object.keys(extra).length === 0 ? null : JSON.stringify(extra),
        },
      };
    } else if (record.kind === 'keyValue') {
      yield { table: 'keyValue', row: record.pair };
    } else if (record.kind === 'fileKeyValue') {
      const { pair, reference } = record;
      yield {
        table: 'fileKeyValue',
        row: {
          ...pair,
          file_id: typeof reference === 'number' && own.has(reference) ? reference : null,
          reference: reference === undefined ? null : JSON.stringify(reference),
        },
      };
    }
  }
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

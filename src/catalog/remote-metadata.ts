import type { MetadataClient } from '../client/metadata-client.js';
import { PacificaError } from '../lib/errors.js';
import type { CatalogFile, FileQuery, Metadata, MetadataDocument } from './catalog.js';
import { noteTransactionValue } from './entries.js';

/** files a request when a transaction is compared with what was sent */
const PAGE = 1000;

/** Metadata kept by a service over HTTP. */
export class RemoteMetadata implements Metadata {
  readonly #client: MetadataClient;

  constructor(client: MetadataClient) {
    this.#client = client;
  }

  async validate(): Promise<void> {
    // the service has no such call
  }

  /** The originals refuse a transaction that is there already, so after a refusal we look whether it is this very one. */
  async ingest(metadata: MetadataDocument, user: string): Promise<void> {
    try {
      await this.#client.ingest(metadata, user);
    } catch (error) {
      if (!(error instanceof PacificaError) || !['invalid', 'exists'].includes(error.code)) throw error;
      const there = await this.#isThere(metadata);
      if (there === 'same') return;
      if (there === 'other') throw new PacificaError('exists', error.message, { cause: error });
      throw error;
    }
  }

  async #isThere(metadata: MetadataDocument): Promise<'no' | 'same' | 'other'> {
    const values = new Map<string, unknown>();
    const expected = new Map<unknown, string>();
    for await (const entry of metadata) {
      noteTransactionValue(values, entry);
      if (entry.destinationTable === 'Files') expected.set(entry._id, String(entry.hashsum).toLowerCase());
    }
    const transaction = values.get('_id');
    if (typeof transaction !== 'number') return 'no';
    let found = 0;
    for (let page = 1; ; page += 1) {
      const files = await this.files({ transaction, limit: PAGE, page });
      if (files.some(({ _id, hashsum }) => expected.get(_id) !== hashsum)) return 'other';
      found += files.length;
      if (files.length < PAGE || found > expected.size) break;
    }
    if (found > 0) return found === expected.size ? 'same' : 'other';
    return expected.size === 0 && (await this.#hasTransaction(transaction)) ? 'same' : 'no';
  }

  async #hasTransaction(id: number): Promise<boolean> {
    try {
      await this.#client.transaction(id);
      return true;
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return false;
      throw error;
    }
  }

  async files(query: FileQuery): Promise<CatalogFile[]> {
    const { transaction, hashsum, below, limit, page, ...rest } = query;
    const objects = await this.#client.files({
      ...rest,
      transaction_id: transaction,
      hashsum: hashsum?.toLowerCase(),
      below,
      items_per_page: limit,
      page_number: limit === undefined ? undefined : (page ?? 1),
    });
    const files = objects.map(toFile).sort((a, b) => b._id - a._id);
    // an original service does not know of `below`
    return below === undefined ? files : files.filter(({ _id }) => _id < below);
  }
}

function toFile(object: unknown): CatalogFile {
  const file = (object ?? {}) as Record<string, unknown>;
  const { _id, name, subdir, size, hashtype, hashsum, transaction } = file;
  const fits =
    [_id, size, transaction].every(Number.isSafeInteger) &&
    [name, subdir, hashtype, hashsum].every((value) => typeof value === 'string');
  if (!fits) {
    throw new PacificaError(
      'bad-gateway',
      `the metadata service sent a file without what we need: ${JSON.stringify(object).slice(0, 300)}`,
    );
  }
  return {
    ...file,
    _id: Number(_id),
    name: String(name),
    subdir: String(subdir).replace(/^\/+|\/+$/g, ''),
    size: Number(size),
    hashtype: String(hashtype),
    hashsum: String(hashsum).toLowerCase(),
    mimetype: String(file.mimetype),
    mtime: String(file.mtime),
    ctime: String(file.ctime),
    transaction: Number(transaction),
  };
}

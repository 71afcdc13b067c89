import { PacificaError } from '../lib/errors.js';
import { HttpClient, retrying } from './http.js';

/** files a request */
const PAGE = 500;

/** A file of the catalog, in the form in which a cart asks for it, with what else is known of it. */
export interface FoundFile {
  readonly id: number;
  /** folder and name */
  readonly path: string;
  readonly hashtype: string;
  readonly hashsum: string;
  /** bytes */
  readonly size: number;
  readonly transaction: number;
  readonly mimetype: string;
  /** ISO 8601, UTC */
  readonly mtime: string;
}

/** What files are asked for: parameters of `GET /files`, all given ones must match. */
export interface CatalogQuery {
  readonly hashtype?: string | undefined;
  readonly hashsum?: string | undefined;
  readonly name_glob?: string | undefined;
  readonly transaction?: number | undefined;
  readonly key?: string | undefined;
  readonly value?: string | undefined;
}

/** Asks our catalog. What may pass is tried again for 30 s. */
export class CatalogClient {
  readonly #http = new HttpClient('the catalog');
  readonly #url: string;
  readonly #signal: AbortSignal | undefined;

  /** @param url base URL without a slash at its end */
  constructor(url: string, options: { signal?: AbortSignal } = {}) {
    this.#url = url;
    this.#signal = options.signal;
  }

  /** Finds files, newest first, a page at a time; those that were taken out of the catalog are left out. */
  async *files(query: CatalogQuery): AsyncGenerator<FoundFile[]> {
    let below: number | undefined;
    for (;;) {
      const rows = await this.#page({ ...query, below, limit: PAGE });
      yield rows.filter((row) => row.deleted === undefined || row.deleted === null).map((row) => toFound(row));
      if (rows.length < PAGE) return;
      below = Number(rows.at(-1)?._id);
    }
  }

  async #page(query: Readonly<Record<string, string | number | undefined>>): Promise<Record<string, unknown>[]> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const url = `${this.#url}/files?${parameters.toString()}`;
    const list = await retrying(
      async () => (await this.#http.expect([200], { method: 'GET', url, signal: this.#signal })).json(),
      { signal: this.#signal },
    );
    if (Array.isArray(list)) return list as Record<string, unknown>[];
    throw new PacificaError('bad-gateway', `the catalog at ${this.#url} sent no list`, {
      hint: 'check its URL: it is that of "pacifica catalog serve"',
    });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

function toFound({
  _id,
  subdir,
  name,
  hashtype,
  hashsum,
  size,
  transaction,
  mimetype,
  mtime,
}: Record<string, unknown>) {
  const folder = String(subdir).replace(/^\/+|\/+$/g, '');
  return {
    id: Number(_id),
    path: folder === '' ? String(name) : `${folder}/${String(name)}`,
    hashtype: String(hashtype),
    hashsum: String(hashsum),
    size: Number(size),
    transaction: Number(transaction),
    mimetype: String(mimetype),
    mtime: String(mtime),
  };
}

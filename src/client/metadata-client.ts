import { PacificaError } from '../lib/errors.js';
import { HttpClient, retrying } from './http.js';
import { type JsonItems, JsonList } from './json-list.js';
import { shown } from './shown.js';

/** ms that a look-up is tried again: somebody waits for it */
const LOOKUP_BUDGET = 2000;

export interface MetadataClientOptions {
  /** base URL, like `http://127.0.0.1:8121` */
  url: string;
  /** where metadata is put; `<url>/ingest` when absent */
  ingestUrl?: string;
  /** name of the header that carries the user */
  userHeader: string;
}

/** The metadata service over HTTP: an original one, or our catalog (wire.md, other services). */
export class MetadataClient {
  readonly #http = new HttpClient('the metadata service');
  readonly #url: string;
  readonly #ingestUrl: string;
  readonly #userHeader: string;

  constructor({ url, ingestUrl, userHeader }: MetadataClientOptions) {
    this.#url = url.replace(/\/+$/, '');
    this.#ingestUrl = ingestUrl ?? `${this.#url}/ingest`;
    this.#userHeader = userHeader;
  }

  /** Puts the metadata of one transaction. Not tried again here: whether it arrived is for the caller to find out. */
  async ingest(metadata: JsonItems, user: string): Promise<void> {
    const list = await JsonList.of(metadata);
    const answer = await this.#http.expect([200], {
      method: 'PUT',
      url: this.#ingestUrl,
      headers: { 'content-type': 'application/json', [this.#userHeader]: user },
      body: list.stream(),
      size: list.size,
    });
    const said = await answer.json();
    // some page of a web server in between is no record of anything
    if ((said as { status?: unknown } | null)?.status !== 'success') {
      throw new PacificaError('bad-gateway', `the metadata service at ${this.#ingestUrl} answered ${shown(said)}`);
    }
  }

  /**
   * Finds files.
   * @param query parameters of `GET /files`, undefined ones are left out
   * @returns the objects of the answer as they came
   */
  async files(query: Readonly<Record<string, string | number | undefined>>): Promise<unknown[]> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
    const url = `${this.#url}/files?${parameters.toString()}`;
    const list = await this.#get(url);
    if (!Array.isArray(list)) throw new PacificaError('bad-gateway', `the metadata service at ${url} sent no list`);
    return list as unknown[];
  }

  /** Looks a transaction up. @throws PacificaError `not-found` */
  async transaction(id: number): Promise<unknown> {
    return this.#get(`${this.#url}/transactioninfo/by_id/${id}`);
  }

  async #get(url: string): Promise<unknown> {
    const get = async (): Promise<unknown> => {
      const response = await this.#http.expect([200], { method: 'GET', url });
      return response.json();
    };
    return retrying(get, { budgetMs: LOOKUP_BUDGET });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

import { PacificaError } from '../lib/errors.js';
import { type RestOf, restHeaders } from './download.js';
import { HttpClient, type HttpResponse } from './http.js';
import { pathSegment } from './path-segment.js';

/** Talks to a proxy service: ours or an original one. */
export class ProxyClient {
  readonly #http = new HttpClient('the proxy service');
  readonly #url: string;
  readonly #signal: AbortSignal | undefined;

  /** @param url base URL without a slash at its end */
  constructor(url: string, options: { signal?: AbortSignal } = {}) {
    this.#url = url;
    this.#signal = options.signal;
  }

  /**
   * Asks for a file by its hash, whole or the rest of it. Nothing is tried twice.
   * @throws PacificaError `not-found`, `not-ready` while the file is on tape
   */
  async get(hashtype: string, hashsum: string, rest?: RestOf): Promise<HttpResponse> {
    const url = `${this.#url}/files/${pathSegment('hash type', hashtype)}/${pathSegment('hash', hashsum)}`;
    const response = await this.#http.request({ method: 'GET', url, headers: restHeaders(rest), signal: this.#signal });
    if (response.status === 200 || response.status === 206) return response;
    if (response.status === 202) {
      await response.discard();
      const after = Number(response.header('retry-after') ?? Number.NaN);
      throw new PacificaError('not-ready', `the file with ${hashtype} ${hashsum} is on tape, and was asked for`, {
        hint: Number.isNaN(after) ? 'try again later' : `try again in ${after} s`,
      });
    }
    if (response.status === 404) {
      await response.discard();
      throw new PacificaError('not-found', `there is no file with ${hashtype} ${hashsum}`);
    }
    throw await this.#http.serviceError(response);
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

import { PacificaError } from '../lib/errors.js';
import { HttpClient, retrying, type RetryOptions, ServiceError } from './http.js';
import { type JsonItems, JsonList } from './json-list.js';
import { shown } from './shown.js';

/** The policy service over HTTP: an original one, or our catalog (wire.md, other services). */
export class PolicyClient {
  readonly #http = new HttpClient('the policy service');
  readonly #url: string;
  readonly #userHeader: string;
  readonly #retry: RetryOptions;

  /**
   * @param ingestUrl URL of the check itself, like `http://127.0.0.1:8181/ingest`
   * @param userHeader name of the header that carries the user
   */
  constructor(ingestUrl: string, userHeader: string, retry: RetryOptions = {}) {
    this.#url = ingestUrl;
    this.#userHeader = userHeader;
    this.#retry = retry;
  }

  /**
   * Asks whether `user` may ingest this.
   * @throws PacificaError `forbidden` with the service's reason, or what may pass
   */
  async check(metadata: JsonItems, user: string): Promise<void> {
    const list = await JsonList.of(metadata);
    const headers = { 'content-type': 'application/json', [this.#userHeader]: user };
    const answer = await retrying(async () => {
      try {
        const response = await this.#http.expect([200], {
          method: 'POST',
          url: this.#url,
          headers,
          body: list.stream(),
          size: list.size,
        });
        return await response.json();
      } catch (error) {
        if (!(error instanceof ServiceError) || error.status !== 412) throw error;
        throw new PacificaError('forbidden', error.message, { cause: error });
      }
    }, this.#retry);
    // some page of a web server in between is no permission
    if ((answer as { status?: unknown } | null)?.status !== 'success') {
      throw new PacificaError('bad-gateway', `the policy service at ${this.#url} answered ${shown(answer)}`);
    }
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

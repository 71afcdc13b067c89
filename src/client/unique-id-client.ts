import { PacificaError } from '../lib/errors.js';
import { HttpClient, retrying, type RetryOptions } from './http.js';
import { shown } from './shown.js';

/** The unique id service over HTTP: an original one, or our catalog (wire.md, other services). */
export class UniqueIdClient {
  readonly #http = new HttpClient('the unique id service');
  readonly #url: string;
  readonly #retry: RetryOptions;

  /** @param url base URL, like `http://127.0.0.1:8051` */
  constructor(url: string, retry: RetryOptions = {}) {
    this.#url = url.replace(/\/+$/, '');
    this.#retry = retry;
  }

  /**
   * Takes `count` consecutive numbers. A call that is tried again may leave a gap, never an overlap.
   * @throws PacificaError `invalid`, `bad-gateway` for an answer that is no such range, and what may pass
   */
  async take(mode: string, count: number): Promise<{ start: number; end: number }> {
    const url = `${this.#url}/getid?${new URLSearchParams({ range: String(count), mode }).toString()}`;
    const answer = await retrying(async () => {
      const response = await this.#http.expect([200], { method: 'GET', url, signal: this.#retry.signal });
      return response.json();
    }, this.#retry);
    const { startIndex: start, endIndex: end } = fields(answer);
    // the originals answer a range below 1 with -1 and -3
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end - start + 1 !== count) {
      throw new PacificaError(
        'bad-gateway',
        `the unique id service at ${this.#url} answered ${shown(answer)} when asked for ${count} numbers`,
      );
    }
    return { start, end };
  }

  async close(): Promise<void> {
    await this.#http.close();
  }
}

function fields(answer: unknown): { startIndex: number; endIndex: number } {
  const { startIndex, endIndex } = (answer ?? {}) as { startIndex?: unknown; endIndex?: unknown };
  return { startIndex: numberOf(startIndex), endIndex: numberOf(endIndex) };
}

/** Number() takes null and an empty text for 0, which is a number that can be given out. @returns NaN for what is none */
function numberOf(value: unknown): number {
  return typeof value === 'number' || (typeof value === 'string' && /^[0-9]+$/.test(value)) ? Number(value) : NaN;
}

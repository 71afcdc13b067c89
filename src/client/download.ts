import { mayPass, PacificaError } from '../lib/errors.js';
import { type HttpResponse, retrying } from './http.js';

/** The rest of something, from byte `start` on, provided that it still is what `etag` says (RFC 9110, 13.1.5). */
export interface RestOf {
  readonly start: number;
  /** with its quotes */
  readonly etag: string;
}

/** @returns the request headers that ask for it */
export function restHeaders(rest: RestOf | undefined): Record<string, string> {
  return rest === undefined ? {} : { range: `bytes=${rest.start}-`, 'if-range': rest.etag };
}

/** Asks for something, whole or the rest of it. Resolves with 200 or 206 only; every other status is thrown. */
export type Fetch = (rest?: RestOf) => Promise<HttpResponse>;

/**
 * Something that is fetched over HTTP. A connection that breaks is taken up again where it broke, as long as the
 * service gives a strong ETag to what it sends.
 */
export class Download {
  /** bytes of the whole, undefined when the service does not say */
  readonly size: number | undefined;
  /** strong validator with its quotes, undefined when there is none */
  readonly etag: string | undefined;
  readonly #fetch: Fetch;
  readonly #first: HttpResponse;
  readonly #signal: AbortSignal | undefined;

  private constructor(fetch: Fetch, first: HttpResponse, signal: AbortSignal | undefined) {
    this.#fetch = fetch;
    this.#first = first;
    this.#signal = signal;
    const length = first.header('content-length');
    this.size = length === undefined ? undefined : Number(length);
    this.etag = strongEtag(first);
  }

  /**
   * Sends the first request; what may pass is tried again for 30 s, except that the thing is not ready: that may last.
   * Read {@link chunks}, or {@link discard} it.
   * @throws PacificaError whatever `fetch` throws
   */
  static async open(fetch: Fetch, options: { signal?: AbortSignal } = {}): Promise<Download> {
    const answer = await retrying(async () => {
      try {
        return await fetch();
      } catch (error) {
        if (error instanceof PacificaError && error.code === 'not-ready') return error;
        throw error;
      }
    }, options);
    if (answer instanceof PacificaError) throw answer;
    return new Download(fetch, answer, options.signal);
  }

  /** @returns a header of the first answer */
  header(name: string): string | undefined {
    return this.#first.header(name);
  }

  /** Lets go of what nobody reads. */
  async discard(): Promise<void> {
    await this.#first.discard();
  }

  /**
   * The bytes from `start` on, once. Ends when all are there. Memory holds one piece.
   * @param start other than 0 only when there is an ETag
   * @throws PacificaError `precondition` when the thing changed meanwhile, `integrity` when more comes than was
   * announced, what may pass after 30 s without a byte
   */
  async *chunks(start = 0): AsyncGenerator<Uint8Array> {
    let position = start;
    if (start !== 0) await this.discard();
    let pieces: AsyncIterable<Uint8Array> = start === 0 ? this.#first.body : await this.#resume(start);
    for (;;) {
      let broken: unknown;
      try {
        for await (const piece of pieces) {
          position += piece.length;
          yield piece;
        }
      } catch (error) {
        if (!mayPass(error) || this.size === undefined || this.etag === undefined) throw error;
        broken = error;
      }
      if (this.size === undefined || position === this.size) return;
      if (position > this.size || this.etag === undefined) {
        throw new PacificaError('integrity', `${position} bytes came, ${this.size} were announced`, { cause: broken });
      }
      pieces = await this.#resume(position);
    }
  }

  /** Asks for the rest until its first byte is there: a service that only answers and then breaks gets no further. */
  async #resume(position: number): Promise<AsyncIterable<Uint8Array>> {
    return retrying(async () => startOf(await this.#rest(position)), { signal: this.#signal });
  }

  async #rest(start: number): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#fetch({ start, etag: this.etag ?? '' });
    if (strongEtag(response) !== this.etag) {
      await response.discard();
      throw new PacificaError('precondition', 'it changed while it was fetched', { hint: 'fetch it again' });
    }
    // 200: the whole again, from a service that has no ranges
    if (response.status === 200) return skip(response.body, start);
    const range = response.header('content-range') ?? '';
    if (range.startsWith(`bytes ${start}-`)) return response.body;
    await response.discard();
    throw new PacificaError('bad-gateway', `${response.url} answered "${range}" to a request from byte ${start} on`);
  }
}

/** RFC 9110, 8.8.1: a weak validator does not promise the same bytes */
function strongEtag(response: HttpResponse): string | undefined {
  const etag = response.header('etag');
  return etag !== undefined && /^"[^"]*"$/.test(etag) ? etag : undefined;
}

/** Waits for the first piece. */
async function startOf(pieces: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = pieces[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw new PacificaError('unavailable', 'the connection was cut before the first byte');
  return (async function* () {
    try {
      let next: IteratorResult<Uint8Array, unknown> = first;
      while (next.done !== true) {
        yield next.value;
        next = await iterator.next();
      }
    } finally {
      await iterator.return?.();
    }
  })();
}

async function* skip(pieces: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length;
  for await (const piece of pieces) {
    if (left < piece.length) yield left === 0 ? piece : piece.subarray(left);
    left = Math.max(0, left - piece.length);
  }
}

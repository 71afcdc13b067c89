import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, PacificaError } from '../lib/errors.js';
import { formatSize } from '../lib/sizes.js';

/** bytes and ms for which a body is read on that nobody wants any more */
const DRAIN_BYTES = 1024 ** 3;
const DRAIN_TIME = 60_000;

export interface BodyOptions {
  /** announced length in bytes */
  readonly length: number | undefined;
  /** bytes that are taken; 0 is no limit */
  readonly limit: number;
  /** is told how much has come, 0 to 100, where the length is known */
  readonly onPercent: (percent: number) => void;
  /** is told that more has come */
  readonly onBytes: () => void;
  /** nothing is given out any more when it is aborted */
  readonly signal?: AbortSignal;
}

/**
 * The body of a request on its way in: counts it, limits it, and can read what is left of it to nowhere. Stopping in the
 * middle does not cut the connection, so that an answer can still be sent.
 */
export class Body implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #options: BodyOptions;
  #bytes = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>, options: BodyOptions) {
    this.#source = source[Symbol.asyncIterator]();
    this.#options = options;
  }

  /** bytes that came so far */
  get bytes(): number {
    return this.#bytes;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    // no return(): a `for await` that is left would cut the connection by it
    return { next: () => this.#next() };
  }

  /**
   * Reads the rest, within bounds: a client that is still sending when the answer comes, and is cut off, does not get to
   * read it (Python's requests among them).
   */
  async drain(): Promise<void> {
    const stop = new AbortController();
    const late = sleep(DRAIN_TIME, true, { signal: stop.signal }).catch(() => true);
    const last = this.#bytes + DRAIN_BYTES;
    while (!this.#ended && this.#bytes < last) {
      const read = this.#read().then(
        () => false,
        () => true,
      );
      if (await Promise.race([late, read])) break;
    }
    stop.abort();
    // not waited for: a read that is under way ends with the connection
    this.#source.return?.().catch(() => undefined);
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    const { length = 0, limit, signal } = this.#options;
    signal?.throwIfAborted();
    if (limit > 0 && length > limit) throw tooLarge(limit);
    const next = await this.#read();
    if (limit > 0 && this.#bytes > limit) throw tooLarge(limit);
    return next;
  }

  async #read(): Promise<IteratorResult<Uint8Array>> {
    try {
      const next = await this.#source.next();
      if (next.done === true) this.#ended = true;
      else {
        this.#bytes += next.value.length;
        const { length = 0, onPercent, onBytes } = this.#options;
        onBytes();
        if (length > 0) onPercent((100 * this.#bytes) / length);
      }
      return next;
    } catch (error) {
      this.#ended = true;
      throw new PacificaError('aborted', `upload interrupted after ${this.#bytes} bytes: ${messageOf(error)}`, {
        hint: 'send it again',
        cause: error,
      });
    }
  }
}

function tooLarge(limit: number): PacificaError {
  return new PacificaError('too-large', `the bundle is larger than the ${formatSize(limit)} that are taken`, {
    hint: 'send it in several bundles, or raise [ingest] bundle_limit',
  });
}

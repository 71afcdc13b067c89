import { type ErrorCode, PacificaError } from '../lib/errors.js';

/** A service behind us, or a part of this process that may be as far away: calls to it end in time, with errors of ours. */
export class BehindUs {
  readonly #name: string;
  readonly #limitMs: number;

  /**
   * @param name for messages: `archive`
   * @param limitMs ms that each call gets
   */
  constructor(name: string, limitMs: number) {
    this.#name = name;
    this.#limitMs = limitMs;
  }

  /**
   * Makes a call.
   * @param tooLate is given what comes when nobody waits for it any more
   * @throws PacificaError `timeout` when there is no answer in time
   */
  async call<T>(work: () => Promise<T>, tooLate?: (value: T) => void): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new PacificaError('timeout', 'the time is over')), this.#limitMs);
    });
    const answer = work();
    try {
      return await Promise.race([answer, limit]);
    } catch (error) {
      answer.then(tooLate, () => undefined);
      throw this.#ours(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Passes on the pieces of an answer's body, of which the first must come in time. */
  async *pieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const iterator = source[Symbol.asyncIterator]();
    let hangs = true;
    try {
      let next = await this.call(() => iterator.next());
      hangs = false;
      while (next.done !== true) {
        yield next.value;
        next = await iterator.next();
      }
    } finally {
      const end = iterator.return?.();
      if (hangs) end?.catch(() => undefined);
      else await end;
    }
  }

  /** That a service can not be reached is 502 here, not 503: we work. Strangers are not told its address; the log is. */
  #ours(error: unknown): unknown {
    if (!(error instanceof PacificaError)) return error;
    const behind = BEHIND_US[error.code];
    return behind === undefined
      ? error
      : new PacificaError(behind.code, `the ${this.#name} ${behind.text}`, { cause: error });
  }
}

const BEHIND_US: Partial<Record<ErrorCode, { code: ErrorCode; text: string }>> = {
  unavailable: { code: 'bad-gateway', text: 'can not be reached now' },
  'bad-gateway': { code: 'bad-gateway', text: 'gave an answer that is of no use' },
  timeout: { code: 'timeout', text: 'did not answer in time' },
};

import { setTimeout as sleep } from 'node:timers/promises';

/** ms that a timer of Node can wait */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Spreads bytes over time, so that they do not come faster than a rate. Many may share one. */
export class Throttle {
  readonly #bytesPerMs: number;
  /** when what was let pass so far is paid for, in ms of performance.now() */
  #paid = -Infinity;

  /** @param rate bytes a second */
  constructor(rate: number) {
    this.#bytesPerMs = rate / 1000;
  }

  /**
   * Waits until so many bytes more may pass.
   * @throws the signal's reason
   */
  async pass(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const now = performance.now();
    // what was not used earlier is lost: a pause is not made up for by a rush
    this.#paid = Math.max(this.#paid, now) + bytes / this.#bytesPerMs;
    const wait = Math.min(this.#paid - now, LONGEST_TIMER);
    if (wait > 0) await sleep(wait, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

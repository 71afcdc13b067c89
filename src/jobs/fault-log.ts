import type { Logger } from 'pino';

/** ms in which faults of one sort are counted and not logged again */
const QUIET = 30_000;

/** Logs errors that come again and again while a server is away, each sort of them once in a while. */
export class FaultLog {
  readonly #log: Logger;
  readonly #sorts = new Map<string, { at: number; unlogged: number }>();
  #total = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** how many there were, logged or not */
  get total(): number {
    return this.#total;
  }

  /** @param doing what failed, the same words each time */
  report(doing: string, error: unknown): void {
    this.#total += 1;
    const now = performance.now();
    const sort = this.#sorts.get(doing);
    if (sort !== undefined && now - sort.at < QUIET) {
      sort.unlogged += 1;
      return;
    }
    this.#log.error({ err: error, ...(sort !== undefined && sort.unlogged > 0 && { before: sort.unlogged }) }, doing);
    this.#sorts.set(doing, { at: now, unlogged: 0 });
  }
}

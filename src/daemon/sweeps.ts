import type { Logger } from 'pino';
import { messageOf } from '../lib/errors.js';

/** ms between two lines about one sweep that goes on failing */
const TELL_EVERY = 60_000;

interface Sweep {
  readonly name: string;
  readonly work: () => Promise<unknown>;
  /** since when it fails, and when that was told last */
  trouble?: { since: number; told: number };
}

/** Looks after what processes that died left behind, again and again. What fails is tried in the next round. */
export class Sweeps {
  readonly #sweeps: Sweep[] = [];
  readonly #log: Logger;
  readonly #now: () => number;

  /** @param now a clock that is never set back, ms */
  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** @param name of what it looks after, for the log */
  add(name: string, work: () => Promise<unknown>): void {
    this.#sweeps.push({ name, work });
  }

  /** One round. A server that is away makes a line at first, one each minute, and one when it is back. */
  async run(): Promise<void> {
    for (const sweep of this.#sweeps) {
      try {
        await sweep.work();
        this.#ended(sweep);
      } catch (error) {
        this.#failed(sweep, error);
      }
    }
  }

  #failed(sweep: Sweep, error: unknown): void {
    const now = this.#now();
    const trouble = (sweep.trouble ??= { since: now, told: -Infinity });
    if (now - trouble.told < TELL_EVERY) return;
    const isNew = trouble.told === -Infinity;
    trouble.told = now;
    const ms = now - trouble.since;
    const how = isNew ? '' : `, for ${minutes(ms)} now`;
    this.#log.error(
      { sweep: sweep.name, err: error, ...(!isNew && { seconds: Math.round(ms / 1000) }) },
      `can not put right what was left behind${how}: ${messageOf(error)}`,
    );
  }

  #ended(sweep: Sweep): void {
    if (sweep.trouble === undefined) return;
    const ms = this.#now() - sweep.trouble.since;
    sweep.trouble = undefined;
    this.#log.info(
      { sweep: sweep.name, seconds: Math.round(ms / 1000) },
      `what was left behind is put right again, after ${minutes(ms)}`,
    );
  }
}

function minutes(ms: number): string {
  const count = Math.round(ms / 60_000);
  if (count === 0) return `${Math.round(ms / 1000)} s`;
  return count === 1 ? '1 minute' : `${count} minutes`;
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Archive } from '../archive/archive.js';
import type { ArchiveId } from '../lib/archive-id.js';
import type { BehindUs } from './behind-us.js';

/** ms after which a file on tape is asked for once more */
const STAGE_AGAIN = 10 * 60_000;
/** ms between two looks at a file that is waited for */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;

/** Asks for files on tape, each one once in a while however many clients want it and however often they come back. */
export class StageRequests {
  readonly #archive: Pick<Archive, 'stage'>;
  readonly #service: BehindUs;
  /** ms of the monotonic clock when each was asked for, the oldest first */
  readonly #asked = new Map<ArchiveId, number>();

  constructor(archive: Pick<Archive, 'stage'>, service: BehindUs) {
    this.#archive = archive;
    this.#service = service;
  }

  async ask(id: ArchiveId): Promise<void> {
    const now = performance.now();
    for (const [old, at] of this.#asked) {
      if (now - at < STAGE_AGAIN) break;
      this.#asked.delete(old);
    }
    if (this.#asked.has(id)) return;
    this.#asked.set(id, now);
    try {
      await this.#service.call(() => this.#archive.stage([id]));
    } catch (error) {
      this.#asked.delete(id);
      throw error;
    }
  }
}

/**
 * Looks until there is something, for some time.
 * @param look returns undefined while there is nothing
 * @param waitMs ms, 0 looks not at all
 * @param signal ends the waiting
 * @returns undefined when the time is over, or nobody waits any more
 */
export async function waitFor<T>(
  look: () => Promise<T | undefined>,
  waitMs: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  const deadline = performance.now() + waitMs;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const left = deadline - performance.now();
    if (left <= 0) return undefined;
    await sleep(Math.min(pause, left), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return undefined;
    const found = await look();
    if (found !== undefined) return found;
  }
}

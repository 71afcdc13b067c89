import { PacificaError } from '../lib/errors.js';
import type { UniqueIndex } from '../storage/database/unique-index.js';
import type { UniqueIds } from './catalog.js';

/** numbers a call; more than any bundle has files, and too few for one caller to use up a mode */
const MAX_COUNT = 10_000_000;
/** as in the originals' table */
const MAX_MODE = 255;

/**
 * Checks what is asked of a unique id service.
 * @throws PacificaError `invalid` naming the parameter
 */
export function checkTake(mode: string, count: number): void {
  if (mode === '' || mode.length > MAX_MODE || /\p{Cc}/u.test(mode)) {
    throw new PacificaError('invalid', `mode ${JSON.stringify(mode.slice(0, 300))} is not valid`, {
      hint: `a mode is a name like "file" or "upload_job", at most ${MAX_MODE} characters`,
    });
  }
  if (!Number.isSafeInteger(count) || count < 1 || count > MAX_COUNT) {
    throw new PacificaError('invalid', `range ${count} is not valid`, {
      hint: `take 1 to ${MAX_COUNT} numbers at a time`,
    });
  }
}

/** Unique ids of our own database. */
export class EmbeddedUniqueIds implements UniqueIds {
  readonly #index: UniqueIndex;

  constructor(index: UniqueIndex) {
    this.#index = index;
  }

  async take(mode: string, count: number): Promise<{ start: number; end: number }> {
    checkTake(mode, count);
    const start = await this.#index.take(mode, count);
    return { start, end: start + count - 1 };
  }
}

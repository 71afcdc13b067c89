import { setTimeout as sleep } from 'node:timers/promises';
import { retrying } from './http.js';

/** ms between two questions: small jobs are done soon, then once a second as deployed clients do */
const FIRST_PAUSE = 100;
const PAUSE = 1000;

export interface PollOptions<T> {
  /** told about every answer */
  onAnswer?: (answer: T) => void;
  signal?: AbortSignal;
}

/**
 * Asks, soon once a second, until the answer is the end. A lost connection is tried again for 30 s.
 * @returns the last answer
 * @throws what `ask` throws, when it won't pass
 */
export async function poll<T>(
  ask: () => Promise<T>,
  ended: (answer: T) => boolean,
  { onAnswer, signal }: PollOptions<T> = {},
): Promise<T> {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, PAUSE)) {
    const answer = await retrying(ask, { signal });
    onAnswer?.(answer);
    if (ended(answer)) return answer;
    await sleep(pause, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

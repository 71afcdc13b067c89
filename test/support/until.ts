import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks until the answer is something, at most `timeout` ms.
 * @returns the first answer that is neither undefined nor false
 * @throws when the time is up, with what was waited for and the last error of `ask`
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  timeout = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeout;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${timeout} ms for: ${what}`, { cause: last });
    await sleep(20);
  }
}

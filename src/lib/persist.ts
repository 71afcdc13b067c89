import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, PacificaError } from './errors.js';

/** ms without any answer after which it is said that we wait */
const SILENCE = 2000;

/** How long one goes on trying to reach what may come. */
export interface Patience {
  /** how often it is tried at most; `Infinity` where only the time counts */
  readonly attempts: number;
  /** @returns ms until the next try. @param attempt number of the one that failed, from 1 */
  readonly pause: (attempt: number) => number;
  /** ms after which nothing is tried again, and no answer is waited for any more; no such end when absent */
  readonly budget?: number;
  /** told before each pause, and when a try is silent for long; the same words may come again */
  readonly onWait?: (reason: string) => void;
  /** ends the waiting */
  readonly signal?: AbortSignal;
}

/** One try. */
export const ONCE: Patience = { attempts: 1, pause: () => 0 };

/**
 * Does `work` again while it fails with what may pass, as long as the patience lasts.
 * @param work may be left behind while it still runs, when the time is up
 * @param failing what it is that fails, for {@link Patience.onWait}: `can not reach the database`
 * @param mayPass whether another try may help
 * @throws the last error of `work`; PacificaError `timeout` when it is silent to the end; the reason of the signal
 */
export async function persist(
  work: () => Promise<void>,
  { attempts, pause, budget = Infinity, onWait, signal }: Patience,
  failing: string,
  mayPass: (error: unknown) => boolean,
): Promise<void> {
  const deadline = performance.now() + budget;
  let last: unknown = new PacificaError('timeout', `no answer within ${Math.round(budget / 1000)} s`);
  for (let attempt = 1; ; attempt += 1) {
    const what = Number.isFinite(attempts) ? `${failing} (try ${attempt} of ${attempts})` : failing;
    const silence = setTimeout(() => onWait?.(`${what}: no answer so far`), SILENCE);
    try {
      if (await endsInTime(work(), deadline, signal)) return;
      throw last;
    } catch (error) {
      signal?.throwIfAborted();
      last = error;
    } finally {
      clearTimeout(silence);
    }
    const ms = pause(attempt);
    if (attempt >= attempts || !mayPass(last) || performance.now() + ms >= deadline) throw last;
    onWait?.(`${what}: ${messageOf(last)}`);
    await sleep(ms, undefined, { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** @returns whether `work` has ended before the time was up, or the signal given. @throws what it throws until then */
async function endsInTime(work: Promise<void>, deadline: number, signal: AbortSignal | undefined): Promise<boolean> {
  let stop: () => void = () => undefined;
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<boolean>((resolve) => {
    stop = () => resolve(false);
    if (Number.isFinite(deadline)) timer = setTimeout(stop, deadline - performance.now());
  });
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  try {
    return await Promise.race([work.then(() => true), over]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

export interface Backoff {
  /** ms before the second try, on average three quarters of it */
  readonly first: number;
  /** ms that a wait never exceeds */
  readonly longest: number;
}

/** ms for which commands and services try others again, where what fails may pass, and between tries */
export const CLIENT_BUDGET = 30_000;
export const CLIENT_PAUSES: Backoff = { first: 100, longest: 5000 };

/**
 * How long to wait before trying again: twice as long each time, and not at the same moment as everybody else, so that
 * a service that comes back is not run over.
 * @param attempt number of the try that failed, from 1
 * @returns ms, between half of `first * 2^(attempt - 1)` and that
 */
export function backoff(attempt: number, { first, longest }: Backoff): number {
  const wait = Math.min(first * 2 ** (attempt - 1), longest);
  return wait / 2 + (Math.random() * wait) / 2;
}

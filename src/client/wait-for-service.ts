import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, PacificaError } from '../lib/errors.js';
import { HttpClient } from './http.js';

/** ms of waiting for the answer of one try */
const ANSWER_TIMEOUT = 10_000;

export interface WaitOptions {
  /** how many times it is asked; 0 asks not at all */
  attempts: number;
  /** ms between two tries */
  waitMs: number;
  /** told before each wait why the try failed */
  onWait?: (reason: string) => void;
  /** ends the waiting */
  signal?: AbortSignal;
}

/**
 * Asks a service whether it is there, until it answers with 200 (`[metadata] status_url`, `status_attempts`,
 * `status_wait`: what the original proxy does at its start).
 * @param service its name in messages, with its article: `the metadata service`
 * @throws PacificaError `unavailable` when it was not there once
 */
export async function waitForService(service: string, url: string, options: WaitOptions): Promise<void> {
  const { attempts, waitMs, onWait, signal } = options;
  if (attempts === 0) return;
  const http = new HttpClient(service);
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const request = { method: 'GET', url, headersTimeout: ANSWER_TIMEOUT, signal };
        await (await http.expect([200], request)).discard();
        return;
      } catch (error) {
        signal?.throwIfAborted();
        if (attempt >= attempts) {
          throw new PacificaError('unavailable', `${service} is not there: ${messageOf(error)}`, {
            hint: 'start it, or correct its URL in the configuration',
            cause: error,
          });
        }
        onWait?.(`${service} is not there yet (try ${attempt} of ${attempts}): ${messageOf(error)}`);
        await sleep(waitMs, undefined, { signal });
      }
    }
  } finally {
    await http.close();
  }
}

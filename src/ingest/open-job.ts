import { createHash } from 'node:crypto';
import { messageOf, PacificaError } from '../lib/errors.js';
import type { IngestJob } from '../storage/database/ingest-jobs.js';
import { Claim, newRun } from './claim.js';
import type { IngestParts } from './parts.js';

/** how many numbers that we have jobs of already are skipped */
const SKIPS = 20;

/** ms that an idempotency key is remembered */
export const KEY_LIFETIME = 30 * 86_400_000;

export interface JobRequest {
  readonly kind: IngestJob['kind'];
  readonly user: string;
  /** Idempotency-Key: a second request with it is answered with the first one's job */
  readonly key?: string;
}

/**
 * Begins a job under a number of its own.
 * @returns the hold on it; where its key has a job already, that job
 * @throws PacificaError `unavailable` when no number can be had
 */
export async function openJob(parts: IngestParts, { kind, user, key }: JobRequest): Promise<Claim | IngestJob> {
  const { store, log } = parts;
  const keyed =
    key === undefined ? undefined : { key: keyHash(kind, user, key), keyedSince: Date.now() - KEY_LIFETIME };
  const known = keyed === undefined ? undefined : await store.findKeyed(keyed.key, keyed.keyedSince);
  if (known !== undefined) return known;
  const run = newRun();
  for (let tries = 0; tries < SKIPS; tries += 1) {
    const id = await takeJobId(parts);
    const job = { id, kind, user };
    if (keyed === undefined) {
      if (await store.insert(job, run)) return new Claim(store, id, run.runId, log);
    } else {
      const owner = await store.insertKeyed(job, run, keyed);
      if (owner?.id === id && owner.runId === run.runId) return new Claim(store, id, run.runId, log);
      // another request with the key was faster
      if (owner !== undefined) return owner;
    }
    log.warn({ job: id }, 'there is an ingest job of this number already: the unique ids were reset?');
  }
  throw new PacificaError('unavailable', 'no job id can be had: all that the unique ids give are taken', {
    hint: 'set the unique ids of mode upload_job to a higher number',
  });
}

/** Each user has keys of his own: nobody learns of another one's jobs by guessing. */
function keyHash(kind: string, user: string, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([kind, user, key]))
    .digest('hex');
}

async function takeJobId({ catalog }: IngestParts): Promise<number> {
  try {
    return (await catalog.ids.take('upload_job', 1)).start;
  } catch (error) {
    throw new PacificaError('unavailable', `no job id can be had now: ${messageOf(error)}`, { cause: error });
  }
}

/** Puts a job on the queue. Where that can't be done now the sweep does it later: the job is safe in its row. */
export async function enqueue({ queue, log, unsure }: IngestParts, jobId: number): Promise<void> {
  try {
    await queue.add('ingest', String(jobId));
  } catch (error) {
    unsure.add(jobId);
    log.warn({ job: jobId, err: error }, 'can not put the ingest job on the queue now');
  }
}

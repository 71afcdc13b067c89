import { messageOf, PacificaError } from '../lib/errors.js';
import { Claim, newRun } from './claim.js';
import type { IngestParts } from './parts.js';

/** how many numbers that we have jobs of already are skipped */
const SKIPS = 20;

/**
 * Begins a job under a number of its own.
 * @throws PacificaError `unavailable` when no number can be had
 */
export async function openJob(parts: IngestParts, kind: 'upload' | 'move', user: string): Promise<Claim> {
  const run = newRun();
  for (let tries = 0; tries < SKIPS; tries += 1) {
    const id = await takeJobId(parts);
    if (await parts.store.insert({ id, kind, user }, run)) return new Claim(parts.store, id, run.runId, parts.log);
    parts.log.warn({ job: id }, 'there is an ingest job of this number already: the unique ids were reset?');
  }
  throw new PacificaError('unavailable', 'no job id can be had: all that the unique ids give are taken', {
    hint: 'set the unique ids of mode upload_job to a higher number',
  });
}

async function takeJobId({ catalog }: IngestParts): Promise<number> {
  try {
    return (await catalog.ids.take('upload_job', 1)).start;
  } catch (error) {
    throw new PacificaError('unavailable', `no job id can be had now: ${messageOf(error)}`, { cause: error });
  }
}

/** Puts a job on the queue. Where that can't be done now the sweep does it later: the job is safe in its row. */
export async function enqueue({ queue, log }: IngestParts, jobId: number): Promise<void> {
  try {
    await queue.add('ingest', String(jobId));
  } catch (error) {
    log.warn({ job: jobId, err: error }, 'can not put the ingest job on the queue now');
  }
}

import type { JobHandler } from '../lib/job-queue.js';
import { neverGivenUp } from '../lib/standing-job.js';
import type { IngestJob, IngestPhase } from '../storage/database/ingest-jobs.js';
import { Claim, newRun } from './claim.js';
import { filesOf } from './files-of.js';
import { removeLeftovers } from './leftovers.js';
import { KEY_LIFETIME } from './open-job.js';
import { type IngestParts, jobOfGroup } from './parts.js';

/** id of the `ingest-purge` job */
export const LEFTOVERS = 'leftovers';
/** ms between two looks for what nobody needs any more */
export const PURGE_INTERVAL = 60_000;

/** Phases in which a job still needs its drafts and its metadata. */
const NEEDS_DATA: readonly IngestPhase[] = ['receiving', 'queued', 'recording', 'failing'];

/** Makes the handler of `ingest-purge` jobs: removes what nobody needs any more, now and every minute. */
export function purgeHandler(parts: IngestParts): JobHandler {
  const { store, queue, settings, log } = parts;
  return neverGivenUp(async (_id, { signal }) => {
    const errors: unknown[] = [];
    for await (const { id } of purgeFailed(parts, Date.now() - settings.keepFailed, errors, signal)) {
      log.info({ job: id }, 'removed the data of a failed ingest job, its time was up');
    }
    await store.forgetKeys(Date.now() - KEY_LIFETIME);
    await removeOrphans(parts, signal);
    if (errors.length > 0) throw new AggregateError(errors);
    // by the job, so that it is one look an interval however many processes there are
    await queue.add('ingest-purge', LEFTOVERS, { delay: PURGE_INTERVAL });
  });
}

/**
 * Removes the data that failed jobs have kept.
 * @param before ms since 1970: of jobs that failed earlier
 * @param errors why the data of some could not be removed is put there
 * @yields each job when its data is removed
 */
export async function* purgeFailed(
  parts: IngestParts,
  before: number,
  errors: unknown[],
  signal?: AbortSignal,
): AsyncGenerator<IngestJob> {
  for (let after = 0; ;) {
    const jobs = await parts.store.inPhase({ phases: ['failed'], kept: true, updatedBefore: before }, after);
    const last = jobs.at(-1);
    if (last === undefined) return;
    for (const job of jobs) {
      signal?.throwIfAborted();
      let purged = false;
      try {
        purged = await purgeJob(parts, job.id);
      } catch (error) {
        parts.log.warn({ job: job.id, err: error }, 'can not remove the data of a failed ingest job right now');
        errors.push(error);
      }
      if (purged) yield job;
    }
    after = last.id;
  }
}

/** Removes drafts and metadata that no job needs: of a crash between two removals, or of a database from a backup. */
export async function removeOrphans(parts: IngestParts, signal?: AbortSignal): Promise<void> {
  const { archive, spool, log } = parts;
  for (const group of await archive.drafts.groups()) {
    signal?.throwIfAborted();
    const jobId = jobOfGroup(group);
    if (jobId === undefined || (await needsData(parts, jobId))) continue;
    log.info({ job: jobId }, 'removing drafts that no ingest job needs');
    await archive.drafts.removeGroup(group);
  }
  for (const jobId of await spool.jobs()) if (!(await needsData(parts, jobId))) await spool.remove(jobId);
}

async function needsData({ store }: IngestParts, jobId: number): Promise<boolean> {
  const job = await store.find(jobId);
  return job !== undefined && (NEEDS_DATA.includes(job.phase) || (job.phase === 'failed' && job.kept));
}

/**
 * Removes the data that a failed job has kept for another try.
 * @returns whether there was any
 */
async function purgeJob(parts: IngestParts, jobId: number): Promise<boolean> {
  const run = newRun();
  const job = await parts.store.takeFailed(jobId, run);
  if (job === undefined) return false;
  const claim = new Claim(parts.store, jobId, run.runId, parts.log);
  try {
    // once more: a run that was believed dead may have come back after the first time
    await filesOf(parts, job, claim).undo(job);
    await removeLeftovers(parts, jobId, run.runId);
    await claim.end({ kept: false });
  } finally {
    await claim.stop();
  }
  return true;
}

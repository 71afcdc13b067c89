import { messageOf } from '../lib/errors.js';
import type { IngestJob, IngestJobs } from '../storage/database/ingest-jobs.js';
import {
  type Import,
  type ImportOptions,
  type OriginalJob,
  type OriginalTables,
  originalTime,
} from '../storage/database/originals.js';
import type { UniqueIndex } from '../storage/database/unique-index.js';

/** Mode of the unique ids that numbers jobs (wire.md, ingest part). */
const MODE = 'upload_job';

/**
 * Takes over how the jobs of an original ingest ended, so that get_state goes on telling it, and lets new jobs be
 * numbered after them. Jobs that are under way are left to the original: taken over, nobody would end them.
 */
export async function importJobs(
  original: OriginalTables,
  { jobs, numbers }: { jobs: IngestJobs; numbers: UniqueIndex },
  { dryRun, onLeftOut }: ImportOptions,
): Promise<Import> {
  const result: Import = { imported: 0, present: 0, leftOut: 0 };
  let last = 0;
  const leaveOut = (id: number, reason: string): void => {
    result.leftOut += 1;
    onLeftOut(`job ${id}: ${reason}`);
  };
  for await (const batch of original.jobs()) {
    const ended: IngestJob[] = [];
    for (const job of batch) {
      last = Math.max(last, job.id);
      try {
        const taken = jobOf(job);
        if (taken === undefined)
          leaveOut(job.id, `it is under way (${job.task}): end it in the original, then import again`);
        else ended.push(taken);
      } catch (error) {
        leaveOut(job.id, messageOf(error));
      }
    }
    const fresh: IngestJob[] = [];
    for (const job of ended) {
      const here = await jobs.find(job.id);
      if (here === undefined) fresh.push(job);
      else if (here.created === job.created) result.present += 1;
      else leaveOut(job.id, 'this number is another job here');
    }
    if (!dryRun) await jobs.adopt(fresh);
    result.imported += fresh.length;
  }
  if (!dryRun && last > 0) await numbers.raise(MODE, last + 1);
  return result;
}

/** @returns undefined for a job that has not ended */
function jobOf({ id, state, task, percent, exception, created, updated }: OriginalJob): IngestJob | undefined {
  const done = state === 'OK' && task === 'ingest metadata' && percent >= 100;
  if (!done && state === 'OK') return undefined;
  const time = originalTime(updated, 'Z');
  return {
    id,
    kind: 'upload',
    user: '',
    state,
    task,
    taskPercent: percent,
    exception,
    complete: true,
    created: originalTime(created, 'Z'),
    updated: time,
    progressed: time,
    phase: done ? 'done' : 'failed',
    kept: false,
    runId: null,
    process: null,
    beat: time,
    members: 0,
    bytes: 0,
    firstFileId: null,
  };
}

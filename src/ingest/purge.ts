import { Claim, newRun } from './claim.js';
import { filesOf } from './files-of.js';
import { removeLeftovers } from './leftovers.js';
import type { IngestParts } from './parts.js';

/**
 * Removes the data that a failed job has kept for another try.
 * @returns whether there was any
 */
export async function purgeJob(parts: IngestParts, jobId: number): Promise<boolean> {
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

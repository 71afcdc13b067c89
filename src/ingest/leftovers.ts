import { groupOf, type IngestParts } from './parts.js';

/** Removes what a job needed on the way and nobody needs any more. What is published stays. */
export async function removeLeftovers(
  { archive, spool, store }: IngestParts,
  jobId: number,
  runId: string,
): Promise<void> {
  await archive.drafts.removeGroup(groupOf(jobId));
  await spool.remove(jobId);
  await store.removeMembers(jobId, runId);
}

import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { eachLimit } from '../lib/each-limit.js';
import { PacificaError } from '../lib/errors.js';
import type { IngestJob, IngestMember } from '../storage/database/ingest-jobs.js';
import type { Claim } from './claim.js';
import type { BundleMetadata } from './metadata.js';
import type { IngestParts } from './parts.js';
import type { Task } from './state.js';

/**
 * What is done with the files of a job: those of an upload lie in drafts and are published, those of a move lie
 * somewhere on the server and are adopted. Every step can be done again.
 */
export interface FilesStep {
  readonly task: Task;
  /**
   * Holds the files against the metadata: nothing missing, nothing more, sizes and hashes right.
   * @throws PacificaError `invalid` naming all that is wrong (the first 100)
   */
  check(job: IngestJob, metadata: BundleMetadata): Promise<void>;
  /** Makes all files visible in the archive under the ids of the job. */
  place(job: IngestJob): Promise<void>;
  /**
   * Takes back what {@link place} did, as far as the archive has a way.
   * @returns what is to be said of the files that could not be taken back; empty when there is none
   */
  undo(job: IngestJob): Promise<string>;
}

/** @returns id in the archive of a file of a job that has its ids */
export function fileId(job: Pick<IngestJob, 'id' | 'firstFileId'>, member: IngestMember): number {
  if (member.fileId !== null) return member.fileId;
  if (job.firstFileId === null) throw new PacificaError('internal', `ingest job ${job.id} has no file ids`);
  return job.firstFileId + member.position;
}

/**
 * Does something for each file of a job, several at a time, begun in the order of the bundle. Stops between two files
 * when the run is to stop.
 */
export async function eachMember(
  { store }: IngestParts,
  { jobId, signal }: Claim,
  parallel: number,
  work: (member: IngestMember) => Promise<void>,
): Promise<void> {
  await eachLimit(membersOf(store, jobId), parallel, async (member) => {
    signal.throwIfAborted();
    await work(member);
  });
}

async function* membersOf(store: IngestParts['store'], jobId: number): AsyncGenerator<IngestMember> {
  for (let after = -1; ;) {
    const members = await store.membersAfter(jobId, after);
    const last = members.at(-1);
    if (last === undefined) return;
    yield* members;
    after = last.position;
  }
}

/**
 * Puts a file into the archive under its id; where the archive has a file of that number already, which it never gives
 * up for ours, under a fresh one.
 */
export async function withFreeId(
  parts: IngestParts,
  claim: Claim,
  job: IngestJob,
  member: IngestMember,
  put: (id: ArchiveId) => Promise<void>,
): Promise<void> {
  for (let id = fileId(job, member); ;) {
    claim.signal.throwIfAborted();
    try {
      await put(parseArchiveId(id));
      return;
    } catch (error) {
      if (!(error instanceof PacificaError) || error.code !== 'exists') throw error;
      const { start } = await parts.catalog.ids.take('file', 1);
      parts.log.warn({ job: job.id, taken: id, instead: start }, 'the archive has a file of an id that is new');
      await parts.store.setFileId(job.id, claim.runId, member.position, start);
      id = start;
    }
  }
}

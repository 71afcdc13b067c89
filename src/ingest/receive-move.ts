import { PacificaError } from '../lib/errors.js';
import type { IngestJob } from '../storage/database/ingest-jobs.js';
import type { Claim } from './claim.js';
import { ownError } from './failure.js';
import { BundleMetadata } from './metadata.js';
import { enqueue, openJob } from './open-job.js';
import type { IngestParts } from './parts.js';

/**
 * Takes the metadata of files that are on the server already. When this resolves it is on stable storage and the job
 * waits for its work. There is no job when it throws.
 * @throws PacificaError `invalid` for what is no metadata that a move can be made of, `too-large`, `unavailable`
 */
export async function receiveMove(
  parts: IngestParts,
  source: AsyncIterable<Uint8Array>,
  { user }: { user: string },
): Promise<IngestJob> {
  const { store, spool, settings } = parts;
  const claim = await openJob(parts, 'move', user);
  const { jobId, runId } = claim;
  try {
    await spool.write(jobId, source, settings.metadataLimit);
    const metadata = await BundleMetadata.read(spool.path(jobId), { move: true });
    if (metadata.fileCount === 0) throw new PacificaError('invalid', 'the metadata names no file to be moved');
    const bytes = await addMembers(parts, claim, metadata);
    await claim.end({ members: metadata.fileCount, bytes, phase: 'queued', kept: true, taskPercent: 100 });
  } catch (error) {
    await claim.stop();
    await spool.remove(jobId);
    await store.remove(jobId, runId);
    throw ownError(error);
  }
  await enqueue(parts, jobId);
  const job = await store.find(jobId);
  if (job === undefined) throw new PacificaError('internal', `ingest job ${jobId} is gone`);
  return job;
}

async function addMembers({ store }: IngestParts, claim: Claim, metadata: BundleMetadata): Promise<number> {
  let bytes = 0;
  let position = 0;
  for await (const files of metadata.fileBatches()) {
    const members = files.map(({ path, size, hashtype, hashsum, source }, index) => ({
      position: position + index,
      path,
      size,
      mtime: 0,
      hashtype,
      hashsum,
      source,
    }));
    await store.addMembers(claim.jobId, claim.runId, members);
    position += files.length;
    bytes += files.reduce((sum, { size }) => sum + size, 0);
  }
  return bytes;
}

import { PacificaError } from '../lib/errors.js';
import type { IngestJob } from '../storage/database/ingest-jobs.js';
import { Claim } from './claim.js';
import { ownError } from './failure.js';
import { BundleMetadata } from './metadata.js';
import { enqueue, openJob } from './open-job.js';
import { limitPath } from './member-path.js';
import type { IngestParts } from './parts.js';
import { Problems } from '../lib/problems.js';
import { tooMany } from './too-many.js';

/**
 * Takes the metadata of files that are on the server already. When this resolves it is on stable storage and the job
 * waits for its work. There is no job when it throws.
 * @throws PacificaError `invalid` for what is no metadata that a move can be made of, `too-large`, `unavailable`
 */
export async function receiveMove(
  parts: IngestParts,
  source: AsyncIterable<Uint8Array>,
  { user, key }: { user: string; key?: string },
): Promise<{ job: IngestJob; replayed: boolean }> {
  const { store, spool, settings } = parts;
  const claim = await openJob(parts, { kind: 'move', user, key });
  if (!(claim instanceof Claim)) return { job: claim, replayed: true };
  const { jobId, runId } = claim;
  try {
    await spool.write(jobId, source, settings.metadataLimit);
    const metadata = await BundleMetadata.read(spool.path(jobId), { move: true });
    if (metadata.fileCount === 0) throw new PacificaError('invalid', 'the metadata names no file to be moved');
    if (settings.memberLimit > 0 && metadata.fileCount > settings.memberLimit) throw tooMany(settings.memberLimit);
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
  return { job, replayed: false };
}

async function addMembers({ store, settings }: IngestParts, claim: Claim, metadata: BundleMetadata): Promise<number> {
  let bytes = 0;
  let position = 0;
  const problems = new Problems();
  for await (const files of metadata.fileBatches()) {
    for (const { path } of files)
      problems.try(
        () => path,
        () => limitPath(path, settings.pathLimit),
      );
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
  problems.throwIfAny();
  return bytes;
}

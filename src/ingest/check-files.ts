import type { IngestMember } from '../storage/database/ingest-jobs.js';
import type { Claim } from './claim.js';
import type { BundleMetadata, NamedFile } from './metadata.js';
import type { IngestParts } from './parts.js';
import { MOST_PROBLEMS, Problems } from '../lib/problems.js';

/**
 * Compares a file of the metadata with what came under its path.
 * @returns the member with what was found out about it; undefined when it is as it was
 */
export type CompareFile = (
  file: NamedFile,
  member: IngestMember,
  problems: Problems,
) => Promise<IngestMember | undefined>;

/**
 * Holds the files of a job against its metadata: each that it names is there once, and nothing else is.
 * @throws PacificaError `invalid` naming all that is wrong (the first 100)
 */
export async function checkFiles(
  parts: IngestParts,
  claim: Claim,
  metadata: BundleMetadata,
  compare: CompareFile,
): Promise<void> {
  const { store } = parts;
  const { jobId, runId, signal } = claim;
  const problems = new Problems();
  await store.clearNamed(jobId, runId);
  for await (const files of metadata.fileBatches()) {
    signal.throwIfAborted();
    const paths = files.map(({ path }) => path);
    const found = new Map((await store.membersByPath(jobId, paths)).map((member) => [member.path, member]));
    const named = new Set<number>();
    const changed: IngestMember[] = [];
    for (const file of files) {
      const member = found.get(file.path);
      if (member?.problem !== null) {
        problems.add(`${file.path}: is named by the metadata, the bundle does not have it`);
      } else if (member.named || named.has(member.position)) {
        problems.add(`${file.path}: is named by the metadata twice`);
      } else {
        named.add(member.position);
        const compared = await compare(file, member, problems);
        if (compared !== undefined) changed.push({ ...compared, named: true });
      }
    }
    if (changed.length > 0) await store.saveMembers(jobId, runId, changed);
    for (const { position } of changed) named.delete(position);
    if (named.size > 0) await store.markNamed(jobId, runId, [...named]);
  }
  await addFaulty(parts, jobId, problems);
  problems.throwIfAny();
}

async function addFaulty({ store }: IngestParts, jobId: number, problems: Problems): Promise<void> {
  const twice = await store.pathsTwice(jobId, MOST_PROBLEMS);
  for (const path of twice) problems.add(`${path}: is in the bundle twice`);
  const { members, count } = await store.faultyMembers(jobId, MOST_PROBLEMS);
  // the second of two members of one path is not named either: that there are two says enough
  const rest = members.filter(({ path, problem }) => problem !== null || !twice.includes(path));
  for (const { path, problem } of rest) {
    problems.add(`${path}: ${problem ?? 'is in the bundle, the metadata does not name it'}`);
  }
  problems.more(count - members.length);
}

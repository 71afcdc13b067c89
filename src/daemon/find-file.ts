import type { Archive, ArchiveFile } from '../archive/archive.js';
import type { CatalogFile, Metadata } from '../catalog/catalog.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import type { Digest } from '../lib/digest-field.js';
import { type ErrorCode, PacificaError } from '../lib/errors.js';
import type { FileStatus } from '../storage/backends/backend.js';

/** files with one hash that are read from metadata at a time: an empty file may be there a million times */
const PAGE = 100;

/** A file that can be had now, or once it was brought from tape. */
export interface Candidate {
  readonly id: ArchiveId;
  readonly file: CatalogFile;
  readonly status: FileStatus;
}

/**
 * Finds the files that have a hash and are in the archive: those on disk first, then the first one on tape. Files that
 * were taken out of the catalog, and those that the archive does not have, are passed over.
 * @throws PacificaError from metadata and archive (see {@link behindUs}); what the archive said about a file that it
 * could not tell of is thrown only when no other file can be had
 */
export async function* findCandidates(
  metadata: Pick<Metadata, 'files'>,
  archive: Pick<Archive, 'status'>,
  hash: Digest,
): AsyncGenerator<Candidate> {
  let onTape: Candidate | undefined;
  let failure: PacificaError | undefined;
  let found = 0;
  for await (const file of filesWith(metadata, hash)) {
    const id = parseArchiveId(file._id);
    try {
      const status = await behindUs('archive', () => archive.status(id));
      if (status.media === 'disk') {
        found += 1;
        yield { id, file, status };
      } else onTape ??= { id, file, status };
    } catch (error) {
      failure = ofThisFile(error) ?? failure;
    }
  }
  if (onTape !== undefined) yield onTape;
  else if (found === 0 && failure !== undefined) throw failure;
}

async function* filesWith(metadata: Pick<Metadata, 'files'>, { type, sum }: Digest): AsyncGenerator<CatalogFile> {
  let below: number | undefined;
  for (;;) {
    const query = { hashtype: type, hashsum: sum, below, limit: PAGE };
    const files = await behindUs('metadata service', () => metadata.files(query));
    for (const file of files) if (file.deleted === undefined || file.deleted === null) yield file;
    if (files.length < PAGE) return;
    below = files.at(-1)?._id;
  }
}

/** Opens the first candidate that can be opened. @returns a candidate without `open` when all that is left is on tape */
export async function openFirst(
  candidates: AsyncIterable<Candidate>,
  archive: Pick<Archive, 'open'>,
): Promise<{ candidate: Candidate; opened?: ArchiveFile } | undefined> {
  let onTape: Candidate | undefined;
  let failure: PacificaError | undefined;
  for await (const candidate of candidates) {
    if (candidate.status.media === 'tape') return { candidate };
    try {
      return { candidate, opened: await behindUs('archive', () => archive.open(candidate.id)) };
    } catch (error) {
      const own = ofThisFile(error);
      // it went to tape since its status was asked
      if (own?.code === 'not-ready') onTape ??= { ...candidate, status: { ...candidate.status, media: 'tape' } };
      else failure = own ?? failure;
    }
  }
  if (onTape !== undefined) return { candidate: onTape };
  if (failure !== undefined) throw failure;
  return undefined;
}

/** Errors that another file may not have. */
const OF_ONE_FILE: ReadonlySet<ErrorCode> = new Set(['not-found', 'not-ready', 'bad-gateway', 'integrity']);

/** @returns undefined when the file is just not there; throws what all files would meet */
function ofThisFile(error: unknown): PacificaError | undefined {
  if (!(error instanceof PacificaError) || !OF_ONE_FILE.has(error.code)) throw error;
  return error.code === 'not-found' ? undefined : error;
}

/**
 * Calls a service behind us. That it can not be reached is 502 here, not 503: we work. Strangers are not told its
 * address; the log is.
 */
export async function behindUs<T>(service: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof PacificaError)) throw error;
    const behind = BEHIND_US[error.code];
    if (behind === undefined) throw error;
    throw new PacificaError(behind.code, `the ${service} ${behind.text}`, { cause: error });
  }
}

const BEHIND_US: Partial<Record<ErrorCode, { code: ErrorCode; text: string }>> = {
  unavailable: { code: 'bad-gateway', text: 'can not be reached now' },
  'bad-gateway': { code: 'bad-gateway', text: 'gave an answer that is of no use' },
  timeout: { code: 'timeout', text: 'did not answer in time' },
};

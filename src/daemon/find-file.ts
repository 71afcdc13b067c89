import type { CatalogFile, Metadata } from '../catalog/catalog.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import type { Digest } from '../lib/digest-field.js';
import { type ErrorCode, PacificaError } from '../lib/errors.js';

/** files with one hash that are read from metadata at a time: an empty file may be there a million times */
const PAGE = 100;

/** A file that can be had. */
export interface Found<There> {
  readonly id: ArchiveId;
  readonly file: CatalogFile;
  /** what the look at it gave; absent when it is on tape and must be staged first */
  readonly there: There | undefined;
}

/**
 * Finds a file that has a hash and can be had: one on disk before one on tape, the next one when one is gone. Files that
 * were taken out of the catalog are passed over.
 * @param look looks at a file in the archive; undefined when it is on tape, `not-found` when it is not there
 * @returns undefined when there is none
 * @throws PacificaError from metadata and archive; what the archive said about a file that it could not tell of is thrown
 * only when no other file can be had
 */
export async function findFile<There>(
  metadata: Pick<Metadata, 'files'>,
  hash: Digest,
  look: (id: ArchiveId) => Promise<There | undefined>,
): Promise<Found<There> | undefined> {
  let onTape: Found<There> | undefined;
  let failure: PacificaError | undefined;
  for await (const file of filesWith(metadata, hash)) {
    const id = parseArchiveId(file._id);
    try {
      const there = await look(id);
      if (there !== undefined) return { id, file, there };
      onTape ??= { id, file, there };
    } catch (error) {
      failure = ofThisFile(error) ?? failure;
    }
  }
  if (onTape === undefined && failure !== undefined) throw failure;
  return onTape;
}

async function* filesWith(metadata: Pick<Metadata, 'files'>, { type, sum }: Digest): AsyncGenerator<CatalogFile> {
  let below: number | undefined;
  for (;;) {
    const files = await metadata.files({ hashtype: type, hashsum: sum, below, limit: PAGE });
    for (const file of files) if (file.deleted === undefined || file.deleted === null) yield file;
    if (files.length < PAGE) return;
    below = files.at(-1)?._id;
  }
}

/** Errors that another file may not have. */
const OF_ONE_FILE: ReadonlySet<ErrorCode> = new Set(['not-found', 'bad-gateway', 'integrity']);

/** @returns undefined when the file is just not there; throws what all files would meet */
function ofThisFile(error: unknown): PacificaError | undefined {
  if (!(error instanceof PacificaError) || !OF_ONE_FILE.has(error.code)) throw error;
  return error.code === 'not-found' ? undefined : error;
}

import { PacificaError } from '../lib/errors.js';
import { safePath, tidyPath } from '../lib/safe-path.js';

/** The member that carries the metadata. */
export const METADATA_MEMBER = 'metadata.txt';
const DATA = 'data';

/**
 * Name of a tar member as we compare it: without `./` in front, doubled slashes, and the slash at a folder's end.
 * @returns empty for the root itself
 * @throws PacificaError `invalid` for an absolute name, `..` and what else {@link safePath} refuses
 */
export function memberPath(name: string): string {
  if (name.startsWith('/')) throw new PacificaError('invalid', 'has an absolute name');
  const path = tidyPath(name);
  return path === '' ? '' : safePath(path);
}

/** @returns whether a member is where the files of a bundle are */
export function isDataPath(path: string): boolean {
  return path.startsWith(`${DATA}/`);
}

/**
 * The folder of a file as metadata keeps it, from what uploaders send (`data/a/b/`, `data//a/b`, `a/b`, empty; wire.md,
 * ingest part).
 * @returns without `data/`, without slashes at its ends
 * @throws PacificaError `invalid`
 */
export function cleanSubdir(subdir: string): string {
  const tidy = tidyPath(subdir);
  const path = tidy === DATA ? '' : isDataPath(tidy) ? tidy.slice(DATA.length + 1) : tidy;
  return path === '' ? '' : safePath(path);
}

/** @param subdir as {@link cleanSubdir} gives it. @returns name of the member that a file of the metadata is */
export function dataPath(subdir: string, name: string): string {
  return safePath(subdir === '' ? `${DATA}/${name}` : `${DATA}/${subdir}/${name}`);
}

/**
 * @param limit bytes; 0 is no limit
 * @throws PacificaError `invalid` for a path that is longer
 */
export function limitPath(path: string, limit: number): void {
  const length = Buffer.byteLength(path);
  if (limit === 0 || length <= limit) return;
  throw new PacificaError('invalid', `its path has ${length} bytes, ${limit} are taken`, {
    hint: 'shorten it, or raise [ingest] path_limit',
  });
}

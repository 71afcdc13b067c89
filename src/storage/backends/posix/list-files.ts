import type { Dirent } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArchiveId } from '../../../lib/archive-id.js';
import { PacificaError } from '../../../lib/errors.js';
import { type Layout, OWN_FOLDER } from './layout.js';
import { isMissing } from './posix-file.js';
import { storageError } from './storage-error.js';

/** names that are read from a folder at once */
const NAMES = 1000;

/**
 * Walks the archive's folder, one name at a time whatever its size.
 * @returns the ids of the files, in no order; what is no id's file is passed over. A file that comes or goes meanwhile
 * may be among them or not
 * @throws PacificaError `not-found` when there is no such folder
 */
export async function* listFiles(layout: Layout): AsyncGenerator<ArchiveId> {
  yield* walk(layout.root, layout);
}

async function* walk(folder: string, layout: Layout): AsyncGenerator<ArchiveId> {
  try {
    for await (const entry of await opendir(folder, { bufferSize: NAMES })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (layout.isSpread && !(folder === layout.root && entry.name === OWN_FOLDER)) yield* walk(path, layout);
        continue;
      }
      const id = layout.idAt(path);
      if (id !== undefined && (await isFile(entry, path))) yield id;
    }
  } catch (error) {
    if (!isMissing(error)) throw storageError(error, `can not list ${folder}`);
    // a folder goes when its last file is deleted
    if (folder !== layout.root) return;
    throw new PacificaError('not-found', `there is no archive in ${layout.root}`, {
      hint: "run this on the archive's own machine, with its configuration; over HTTP nobody can list an archive",
      cause: error,
    });
  }
}

/** A link to a file is as good as the file: GET follows it. */
async function isFile(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile();
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

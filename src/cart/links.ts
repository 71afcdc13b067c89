import { constants } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { linkFile, renameFile, statPath, unlinkFile } from '../lib/file-calls.js';

/** What file systems answer that can not make such a link: another device, not supported, not permitted. */
const CAN_NOT_LINK: ReadonlySet<string> = new Set([
  'EXDEV',
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EINVAL',
  'ENOTTY',
  'EACCES',
]);

/**
 * Gives files of the archive a second name on the volume, without copying: a reflink where the file system shares blocks
 * between files, else a hard link. What can not be done is found out once.
 */
export class Links {
  /** undefined until it was tried */
  works: boolean | undefined;
  #reflinks = true;

  /** @param allowed false: files are always copied */
  constructor(allowed: boolean) {
    this.works = allowed ? undefined : false;
  }

  /** Finds out by trying. @param scratch path of a file that is not there */
  async probe(path: string, scratch: string): Promise<boolean> {
    await this.link(path, scratch, () => `${scratch}-clone`);
    await removeFile(scratch);
    return this.works !== false;
  }

  /**
   * @param target what lies there already is replaced
   * @param unfinished gives a path for a clone that is not finished
   * @returns false when the file has to be copied
   * @throws PacificaError `not-found` when the archive's file is gone
   */
  async link(path: string, target: string, unfinished: () => string): Promise<boolean> {
    if (this.works === false) return false;
    const linked =
      (this.#reflinks && (await this.#reflink(path, target, unfinished()))) || (await this.#hardLink(path, target));
    if (linked) this.works = true;
    return linked;
  }

  async #reflink(path: string, target: string, clone: string): Promise<boolean> {
    try {
      const { mtimeMs } = await statPath(path);
      await copyFile(path, clone, constants.COPYFILE_FICLONE_FORCE);
      await seal(clone, Number(mtimeMs));
      await renameFile(clone, target);
      return true;
    } catch (error) {
      await removeFile(clone);
      if (!CAN_NOT_LINK.has(systemCode(error) ?? '')) throw linkError(error);
      this.#reflinks = false;
      return false;
    }
  }

  async #hardLink(path: string, target: string): Promise<boolean> {
    for (;;) {
      try {
        await linkFile(path, target);
        return true;
      } catch (error) {
        const code = systemCode(error) ?? '';
        if (code === 'EEXIST') {
          await removeFile(target);
          continue;
        }
        // one file that has as many names as a file can have
        if (code === 'EMLINK') return false;
        if (!CAN_NOT_LINK.has(code)) throw linkError(error);
        this.works = false;
        return false;
      }
    }
  }
}

/** Gives a file of ours its time, makes it read-only and its bytes durable. */
export async function seal(path: string, mtimeMs: number): Promise<void> {
  // a clone of a read-only file is read-only: its owner may do all this without writing to it
  const file = await open(path, 'r');
  try {
    await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
    await file.chmod(0o444);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes a file; nothing to do when there is none. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlinkFile(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

function linkError(error: unknown): PacificaError {
  if (systemCode(error) === 'ENOENT') {
    return new PacificaError('not-found', 'the file was deleted from the archive', { cause: error });
  }
  return wrapSystemError(error, 'can not link a file of the archive');
}

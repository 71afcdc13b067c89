import { lstat, rmdir } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { FolderSyncer, makeFolder } from '../../../lib/durable-write.js';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import { linkFile, renameFile, statPath, unlinkFile } from '../../../lib/file-calls.js';
import { type TemporaryFiles, unlinkIfThere } from './temporary-files.js';

/** how often a folder is made again when others delete it, empty as it is, before we could use it */
const FOLDER_TRIES = 100;
/** how many folders are remembered as durable */
const REMEMBERED = 20_000;

/**
 * The names below the archive's root: makes finished files visible and takes them away again, in one step each and
 * durably, making and removing the folders in between. Others may do the same at the same time.
 */
export class VisibleNames {
  readonly #root: string;
  readonly #syncer = new FolderSyncer();
  /** folder -> which folder it was when all above it was known to be durable */
  readonly #durable = new Map<string, string>();

  readonly #temporary: TemporaryFiles;

  constructor(root: string, temporary: TemporaryFiles) {
    this.#root = root;
    this.#temporary = temporary;
  }

  /** Gives the file at `from` the name `to` instead, over what is there. */
  async rename(from: string, to: string): Promise<void> {
    await this.#inFolder(from, to, () => renameFile(from, to));
  }

  /**
   * Gives the file at `from` a second name.
   * @returns false when `to` is taken
   */
  async link(from: string, to: string): Promise<boolean> {
    try {
      await this.#inFolder(from, to, () => linkFile(from, to));
      return true;
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (code === 'EEXIST') return false;
      if (NO_LINKS.has(code)) {
        throw new PacificaError('forbidden', `the file system of ${this.#root} can not hard-link files (${code})`, {
          hint: 'keep the archive on one that can, like ext4, XFS, ZFS or NFS',
          cause: error,
        });
      }
      throw error;
    }
  }

  /**
   * Takes a name away, and the folders that are empty then.
   * @returns false when there was no such file
   */
  async unlink(path: string): Promise<boolean> {
    return this.#noting(path, async () => {
      try {
        await unlinkFile(path);
      } catch (error) {
        if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR'].includes(systemCode(error) ?? '')) return false;
        // what unlink says of a folder differs from system to system
        if (systemCode(error) === 'EPERM' && (await lstat(path)).isDirectory()) return false;
        throw error;
      }
      await this.removeEmptyFolders(path);
      return true;
    });
  }

  /** Makes the name `path` durable, with all folders above it that are new. */
  async sync(path: string): Promise<void> {
    const folder = dirname(path);
    await this.#syncer.sync(folder);
    if (folder === this.#root) return;
    // another process may have made the folders above and not have flushed them yet
    const which = await identity(folder);
    if (which === undefined || this.#durable.get(folder) === which) return;
    for (let above = dirname(folder); ; above = dirname(above)) {
      await this.#syncer.sync(above);
      if (above === this.#root || above === dirname(above)) break;
    }
    if (this.#durable.size >= REMEMBERED) this.#durable.clear();
    this.#durable.set(folder, which);
  }

  async #inFolder(from: string, to: string, name: () => Promise<void>): Promise<void> {
    try {
      await name();
      return;
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
    await this.#noting(to, async () => {
      for (let tries = 1; ; tries += 1) {
        await lstat(from);
        try {
          await makeFolder(dirname(to));
          await name();
          return;
        } catch (error) {
          // the folder, or one above it, was deleted in the meantime
          if (systemCode(error) === 'ENOENT' && tries < FOLDER_TRIES) continue;
          await this.removeEmptyFolders(to).catch(() => undefined);
          throw error;
        }
      }
    });
  }

  /** Leaves a note while folders above `path` may be empty: whoever sweeps after a crash removes them. */
  async #noting<T>(path: string, work: () => Promise<T>): Promise<T> {
    if (dirname(path) === this.#root) return work();
    // on a full disk there is no room for a note, and deleting must go on all the same
    const note = await this.#temporary.note(relative(this.#root, path)).catch(() => undefined);
    try {
      return await work();
    } finally {
      // one that stays does no harm, and is swept in the end
      if (note !== undefined) await unlinkIfThere(note).catch(() => undefined);
    }
  }

  /** Removes the folders that are empty now that `path` is gone, and makes that durable. */
  async removeEmptyFolders(path: string): Promise<void> {
    let at = dirname(path);
    while (at !== this.#root && at !== dirname(at)) {
      try {
        await rmdir(at);
      } catch (error) {
        const code = systemCode(error) ?? '';
        if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'EACCES', 'EPERM'].includes(code)) break;
        // gone already: those above it may still be there
        if (code !== 'ENOENT') throw error;
      }
      at = dirname(at);
    }
    await this.#syncer.sync(at);
  }
}

const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** @returns what tells this folder from one that has its name later, undefined when it is gone */
async function identity(folder: string): Promise<string | undefined> {
  try {
    const { ino, birthtimeNs } = await statPath(folder);
    return `${ino} ${birthtimeNs}`;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

import { opendir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, syncFolder } from '../../../lib/durable-write.js';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import { renameFile, statPath } from '../../../lib/file-calls.js';
import { SyncedWriter } from '../../../lib/synced-writer.js';
import type { Draft, StoredFile } from '../backend.js';
import { PosixFile } from './posix-file.js';
import { storageError } from './storage-error.js';
import { entries, seal, type TemporaryFile, type TemporaryFiles, unlinkIfThere } from './temporary-files.js';

const GROUP = /^[A-Za-z0-9-]{1,200}$/;
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;
/** files that are removed in one turn of the event loop */
const REMOVED_AT_ONCE = 256;

/**
 * Finished drafts as files, one folder a group. While it is written a draft is a temporary file: a group holds only
 * what is whole, and what a dead process did not finish goes with the other litter.
 */
export class DraftFolder {
  readonly #folder: string;
  readonly #temporary: TemporaryFiles;
  /** the group's folder that was made last: it need not be looked for */
  #made: string | undefined;

  constructor(folder: string, temporary: TemporaryFiles) {
    this.#folder = folder;
    this.#temporary = temporary;
  }

  /** As in Drafts. A finished draft of that name is replaced when the new one is finished. */
  async create(group: string, name: string): Promise<Draft> {
    const path = this.path(group, name);
    try {
      const folder = this.#groupPath(group);
      if (folder !== this.#made && !(await isThere(folder))) await makeFolder(folder);
      this.#made = folder;
      return new PosixDraft(name, path, await this.#temporary.create());
    } catch (error) {
      throw storageError(error, `can not begin a file in ${this.#folder}`);
    }
  }

  async sync(group: string): Promise<void> {
    try {
      await syncFolder(this.#groupPath(group));
    } catch (error) {
      throw storageError(error, `can not make the drafts of ${group} durable`);
    }
  }

  open(group: string, name: string): Promise<StoredFile> {
    return PosixFile.open(
      this.path(group, name),
      () => new PacificaError('not-found', `there is no finished draft ${group}/${name}`),
    );
  }

  async removeGroup(group: string): Promise<void> {
    const folder = this.#groupPath(group);
    if (folder === this.#made) this.#made = undefined;
    try {
      await removeFiles(folder);
      await rm(folder, { recursive: true, force: true });
      await syncFolder(this.#folder);
    } catch (error) {
      throw storageError(error, `can not remove the drafts of ${group}`);
    }
  }

  async groups(): Promise<string[]> {
    return entries(this.#folder);
  }

  /**
   * @returns absolute path of a finished draft
   * @throws PacificaError `invalid` for a name that could lead elsewhere
   */
  path(group: string, name: string): string {
    if (!NAME.test(name)) throw new PacificaError('invalid', `draft name ${JSON.stringify(name)} is not valid`);
    return join(this.#groupPath(group), name);
  }

  #groupPath(group: string): string {
    if (!GROUP.test(group)) throw new PacificaError('invalid', `draft group ${JSON.stringify(group)} is not valid`);
    return join(this.#folder, group);
  }
}

class PosixDraft implements Draft {
  readonly name: string;
  readonly #path: string;
  readonly #temporary: TemporaryFile;
  readonly #writer: SyncedWriter;
  #state: 'writing' | 'finished' | 'discarded' = 'writing';

  constructor(name: string, path: string, temporary: TemporaryFile) {
    this.name = name;
    this.#path = path;
    this.#temporary = temporary;
    this.#writer = new SyncedWriter(temporary);
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      await this.#writer.write(chunk);
    } catch (error) {
      throw storageError(error, `can not write draft ${this.name}`);
    }
  }

  async finish(mtimeMs: number): Promise<void> {
    try {
      await this.#writer.flush();
      await seal(this.#temporary, mtimeMs);
      await this.#writer.syncInTurn();
      await this.#letGo();
      await renameFile(this.#temporary.path, this.#path);
      this.#state = 'finished';
    } catch (error) {
      await this.discard();
      if (systemCode(error) === 'ENOENT') {
        throw new PacificaError('aborted', `draft ${this.name} was removed while it was written`, { cause: error });
      }
      throw storageError(error, `can not finish draft ${this.name}`);
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'discarded') return;
    const path = this.#state === 'finished' ? this.#path : this.#temporary.path;
    this.#state = 'discarded';
    await this.#letGo();
    await unlinkIfThere(path);
  }

  async #letGo(): Promise<void> {
    await this.#writer.release();
    await this.#temporary.close();
  }
}

/** Removes the files in a folder, some hundreds between two turns of the event loop; half the work of Node's `rm`. */
async function removeFiles(folder: string): Promise<void> {
  try {
    for await (const entry of await opendir(folder, { bufferSize: REMOVED_AT_ONCE })) {
      if (entry.isFile()) await unlinkIfThere(join(folder, entry.name));
    }
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

async function isThere(folder: string): Promise<boolean> {
  try {
    return (await statPath(folder)).isDirectory();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

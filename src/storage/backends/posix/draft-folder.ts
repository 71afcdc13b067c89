import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FileWriter, FolderSyncer, makeFolder, syncFolder } from '../../../lib/durable-write.js';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import { renameFile, syncFile } from '../../../lib/file-calls.js';
import type { Draft, StoredFile } from '../backend.js';
import { PosixFile } from './posix-file.js';
import { storageError } from './storage-error.js';
import { entries, seal, type TemporaryFile, type TemporaryFiles, unlinkIfThere } from './temporary-files.js';

const GROUP = /^[A-Za-z0-9-]{1,200}$/;
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/**
 * Finished drafts as files, one folder a group. While it is written a draft is a temporary file: a group holds only
 * what is whole, and what a dead process did not finish goes with the other litter.
 */
export class DraftFolder {
  readonly #folder: string;
  readonly #temporary: TemporaryFiles;
  readonly #syncer = new FolderSyncer();

  constructor(folder: string, temporary: TemporaryFiles) {
    this.#folder = folder;
    this.#temporary = temporary;
  }

  /** As in Drafts. A finished draft of that name is replaced when the new one is finished. */
  async create(group: string, name: string): Promise<Draft> {
    const path = this.path(group, name);
    try {
      await makeFolder(this.#groupPath(group));
      return new PosixDraft(name, path, await this.#temporary.create(), () =>
        this.#syncer.sync(this.#groupPath(group)),
      );
    } catch (error) {
      throw storageError(error, `can not begin a file in ${this.#folder}`);
    }
  }

  open(group: string, name: string): Promise<StoredFile> {
    return PosixFile.open(
      this.path(group, name),
      () => new PacificaError('not-found', `there is no finished draft ${group}/${name}`),
    );
  }

  async removeGroup(group: string): Promise<void> {
    try {
      await rm(this.#groupPath(group), { recursive: true, force: true });
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
  readonly #writer: FileWriter;
  readonly #syncFolder: () => Promise<void>;
  #state: 'writing' | 'finished' | 'discarded' = 'writing';

  constructor(name: string, path: string, temporary: TemporaryFile, sync: () => Promise<void>) {
    this.name = name;
    this.#path = path;
    this.#temporary = temporary;
    this.#writer = new FileWriter(temporary);
    this.#syncFolder = sync;
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      // the writer keeps what it is given, the caller uses its buffer again
      await this.#writer.write(Buffer.from(chunk));
    } catch (error) {
      throw storageError(error, `can not write draft ${this.name}`);
    }
  }

  async finish(mtimeMs: number): Promise<void> {
    try {
      await this.#writer.flush();
      await seal(this.#temporary, mtimeMs);
      await syncFile(this.#temporary.fd);
      await this.#letGo();
      await renameFile(this.#temporary.path, this.#path);
      this.#state = 'finished';
      await this.#syncFolder();
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

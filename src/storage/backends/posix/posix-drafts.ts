import { rename } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import type { ArchiveId } from '../../../lib/archive-id.js';
import { PacificaError } from '../../../lib/errors.js';
import { statPath } from '../../../lib/file-calls.js';
import type { Draft, Drafts, PublishOptions, StoredFile } from '../backend.js';
import type { DraftFolder } from './draft-folder.js';
import type { Layout } from './layout.js';
import { isMissing, written } from './posix-file.js';
import { storageError } from './storage-error.js';
import type { TemporaryFiles } from './temporary-files.js';
import { unlinkIfThere } from './temporary-files.js';
import type { VisibleNames } from './visible-names.js';

/** Drafts that become files of the archive by a second name (hard link): no byte is copied, and it can be undone. */
export class PosixDrafts implements Drafts {
  readonly #drafts: DraftFolder;
  readonly #names: VisibleNames;
  readonly #layout: Layout;
  readonly #temporary: TemporaryFiles;

  constructor(drafts: DraftFolder, names: VisibleNames, layout: Layout, temporary: TemporaryFiles) {
    this.#drafts = drafts;
    this.#names = names;
    this.#layout = layout;
    this.#temporary = temporary;
  }

  create(group: string, name: string): Promise<Draft> {
    return this.#drafts.create(group, name);
  }

  sync(group: string): Promise<void> {
    return this.#drafts.sync(group);
  }

  open(group: string, name: string): Promise<StoredFile> {
    return this.#drafts.open(group, name);
  }

  async publish(group: string, name: string, id: ArchiveId, { beforeVisible }: PublishOptions = {}): Promise<void> {
    const path = this.#layout.path(id);
    const draft = this.#drafts.path(group, name);
    try {
      const stats = await look(draft);
      if (stats === undefined) throw noDraft(group, name);
      await beforeVisible?.(written(stats));
      if (!(await this.#names.link(draft, path)) && !isSame(stats, await look(path))) {
        throw new PacificaError('exists', `file ${id} is in the archive already`);
      }
      await this.#names.sync(path);
    } catch (error) {
      if (isMissing(error) && (await look(draft)) === undefined) throw noDraft(group, name);
      throw storageError(error, `can not publish draft ${group}/${name} as file ${id}`);
    }
  }

  async unpublish(group: string, name: string, id: ArchiveId): Promise<void> {
    const path = this.#layout.path(id);
    try {
      const draft = await look(this.#drafts.path(group, name));
      if (draft === undefined) throw noDraft(group, name);
      if (!isSame(draft, await look(path))) return;
      // somebody may have put another file there just now: take it aside first, then look what it is
      const aside = this.#temporary.newPath();
      await rename(path, aside);
      if (isSame(draft, await look(aside))) await unlinkIfThere(aside);
      else if (await this.#names.link(aside, path)) await unlinkIfThere(aside);
      await this.#names.removeEmptyFolders(path);
    } catch (error) {
      throw storageError(error, `can not take back file ${id}`);
    }
  }

  removeGroup(group: string): Promise<void> {
    return this.#drafts.removeGroup(group);
  }

  groups(): Promise<string[]> {
    return this.#drafts.groups();
  }
}

function noDraft(group: string, name: string): PacificaError {
  return new PacificaError('not-found', `there is no finished draft ${group}/${name}`);
}

async function look(path: string): Promise<BigIntStats | undefined> {
  try {
    return await statPath(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isSame(one: BigIntStats, other: BigIntStats | undefined): boolean {
  return one.ino === other?.ino && one.dev === other.dev;
}

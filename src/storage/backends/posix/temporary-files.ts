import { randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../../lib/durable-write.js';
import { systemCode } from '../../../lib/errors.js';
import { isDead, processMark } from '../../../lib/process-mark.js';

/**
 * ms after which a file that nobody wrote to is litter, whoever's it is: no transfer is silent for that long, since
 * connections are cut long before
 */
const LITTER_AGE = 24 * 60 * 60 * 1000;

/** ending of a note's name */
const NOTE = '.note';

export interface TemporaryFile {
  readonly path: string;
  readonly file: FileHandle;
}

/**
 * Files that are being written, in one folder, named by the process that writes them. What a process left behind when
 * it died can be told from what another one, perhaps on another machine, is writing right now.
 */
export class TemporaryFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns a path that nothing has yet, in the folder of temporary files */
  newPath(): string {
    return join(this.#folder, `${processMark()}.${randomBytes(8).toString('hex')}`);
  }

  /** Makes an empty file that nobody else can read. Close it, and unlink or rename it. */
  async create(): Promise<TemporaryFile> {
    const path = this.newPath();
    return { path, file: await this.#inFolder(() => open(path, 'wx+', 0o600)) };
  }

  /**
   * Leaves a few words for whoever sweeps after this process.
   * @returns path of the note, to be unlinked when it is no longer true
   */
  async note(text: string): Promise<string> {
    const path = `${this.newPath()}${NOTE}`;
    try {
      await this.#inFolder(() => writeFile(path, text, { flag: 'wx' }));
    } catch (error) {
      await unlinkIfThere(path).catch(() => undefined);
      throw error;
    }
    return path;
  }

  /**
   * Removes what dead processes left: at once what is of this machine, after a day what is of another one.
   * @param onNote is told the notes among it, before they are removed
   * @returns how many files were removed
   */
  async sweep(onNote: (text: string) => Promise<void>): Promise<number> {
    let removed = 0;
    for (const name of await entries(this.#folder)) {
      const path = join(this.#folder, name);
      const dead = isDead(name.split('.').slice(0, 3).join('.'));
      if (dead === false) continue;
      if (dead === undefined && !(await isOld(path))) continue;
      if (name.endsWith(NOTE)) await onNote(await readFile(path, 'utf8'));
      if (await unlinkIfThere(path)) removed += 1;
    }
    return removed;
  }

  async #inFolder<T>(make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      await makeFolder(this.#folder);
      return make();
    }
  }
}

/**
 * What a complete file gets before it becomes visible: read-only for everybody, and its time.
 * @returns what it is from now on
 */
export async function seal(file: FileHandle, mtimeMs: number): Promise<BigIntStats> {
  await file.chmod(0o444);
  // as a Date where it lies before 1970: Node takes a negative number for "now"
  await file.utimes(new Date(), mtimeMs < 0 ? new Date(mtimeMs) : mtimeMs / 1000);
  return file.stat({ bigint: true });
}

/** By ctime: mtime is what the client says it is. */
async function isOld(path: string): Promise<boolean> {
  try {
    return Date.now() - (await lstat(path)).ctimeMs > LITTER_AGE;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** @returns names in a folder, none when there is no such folder */
export async function entries(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** @returns whether there was a file */
export async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

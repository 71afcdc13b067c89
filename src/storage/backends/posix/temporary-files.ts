import { randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../../../lib/durable-write.js';
import { systemCode } from '../../../lib/errors.js';
import { changeMode, changeTimes, closeFile, openFile, statFile, unlinkFile } from '../../../lib/file-calls.js';
import { isDead, processMark } from '../../../lib/process-mark.js';

/**
 * ms after which a file that nobody wrote to is litter, whoever's it is: no transfer is silent for that long, since
 * connections are cut long before
 */
const LITTER_AGE = 24 * 60 * 60 * 1000;

/** ending of a note's name */
const NOTE = '.note';

/** A file that is being written. */
export class TemporaryFile {
  readonly path: string;
  readonly fd: number;
  #isOpen = true;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  /** May be called twice. Nothing may be under way on the descriptor. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await closeFile(this.fd);
  }
}

/**
 * Files that are being written, in one folder, named by the process that writes them. What a process left behind when
 * it died can be told from what another one, perhaps on another machine, is writing right now.
 */
export class TemporaryFiles {
  readonly #folder: string;
  readonly #prefix = randomBytes(8).toString('hex');
  #made = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @returns a path that nothing has yet, in the folder of temporary files */
  newPath(): string {
    this.#made += 1;
    return join(this.#folder, `${processMark()}.${this.#prefix}${this.#made.toString(36)}`);
  }

  /** Makes an empty file that nobody else can read. Close it, and unlink or rename it. */
  async create(): Promise<TemporaryFile> {
    const path = this.newPath();
    return new TemporaryFile(path, await this.#inFolder(() => openFile(path, 'wx', 0o600)));
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
export async function seal({ fd }: TemporaryFile, mtimeMs: number): Promise<BigIntStats> {
  await changeMode(fd, 0o444);
  // as a Date where it lies before 1970: Node takes a negative number for "now"
  await changeTimes(fd, new Date(), mtimeMs < 0 ? new Date(mtimeMs) : mtimeMs / 1000);
  return statFile(fd);
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
    await unlinkFile(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

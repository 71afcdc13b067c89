import { createHash, randomBytes } from 'node:crypto';
import { constants, realpathSync, statSync } from 'node:fs';
import { chmod, copyFile, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { syncFolder } from '../lib/durable-write.js';
import { FileWriter } from '../lib/file-writer.js';
import { messageOf, PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { ioBuffer } from '../lib/io-buffer.js';
import { READ_SIZE } from '../lib/random-reader.js';

/** Fewer bytes are sooner fetched again than kept. */
const WORTH_KEEPING = 1024 * 1024;

/**
 * The file that a download goes to. It is written under another name beside its place, and takes its place when it is
 * whole and on the disk; until then an old file of that name stays. What is no regular file, /dev/null or a pipe, is
 * written directly.
 */
export class OutputFile {
  /** where the file will be */
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #writer: FileWriter;
  /** name under which it is written, undefined when that is its own */
  readonly #draft: string | undefined;
  /** bytes that were there when it was taken up */
  readonly #kept: number;

  private constructor(path: string, handle: FileHandle, draft: string | undefined, kept: number) {
    this.path = path;
    this.#handle = handle;
    this.#writer = new FileWriter(handle);
    this.#draft = draft;
    this.#kept = kept;
  }

  /** bytes that are in it, those of an earlier run too */
  get size(): number {
    return this.#kept + this.#writer.size;
  }

  /**
   * Opens it.
   * @param part what is fetched: a part of it that an earlier run kept under the same key is gone on with, unless it has
   * more bytes than the whole
   * @param options.goOn where there is no such part, a file of that name that has no more bytes is gone on with, in a copy
   * @throws PacificaError `invalid` when the path is a folder, `not-found`, `forbidden`
   */
  static async open(
    target: string,
    part: { key: string; size: number } | undefined,
    { goOn = false }: { goOn?: boolean } = {},
  ): Promise<OutputFile> {
    try {
      const path = placeOf(target);
      if (path.special) return new OutputFile(path.name, await open(path.name, 'w'), undefined, 0);
      const draft = join(dirname(path.name), `.${short(basename(path.name))}.${randomBytes(6).toString('hex')}.tmp`);
      // taken by its name: only one of two runs gets it
      const taken =
        part !== undefined &&
        ((await take(partName(path.name, part.key), draft)) || (goOn && (await copy(path.name, part.size, draft))));
      const handle = await open(draft, taken ? constants.O_RDWR | constants.O_APPEND : 'wx');
      const kept = taken ? (await handle.stat()).size : 0;
      if (part === undefined || kept <= part.size) return new OutputFile(path.name, handle, draft, kept);
      await handle.truncate();
      return new OutputFile(path.name, handle, draft, 0);
    } catch (error) {
      throw outputError(error, target);
    }
  }

  /** Reads what an earlier run left, from its beginning. */
  async *kept(): AsyncGenerator<Uint8Array> {
    for (let position = 0; position < this.#kept;) {
      const buffer = ioBuffer(Math.min(READ_SIZE, this.#kept - position));
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) throw new PacificaError('integrity', `${this.path} became shorter while it was written`);
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async write(piece: Uint8Array): Promise<void> {
    try {
      await this.#writer.write(piece);
    } catch (error) {
      throw outputError(error, this.path);
    }
  }

  /**
   * Makes it durable and visible.
   * @param mtimeMs modification time to give it
   */
  async commit(mtimeMs?: number): Promise<void> {
    try {
      await this.#writer.flush();
      await this.#writer.release();
      if (this.#draft === undefined) return await this.#handle.close();
      if (mtimeMs !== undefined) await this.#handle.utimes(mtimeMs / 1000, mtimeMs / 1000);
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#draft, this.path);
      await syncFolder(dirname(this.path));
    } catch (error) {
      throw outputError(error, this.path);
    }
  }

  /**
   * Gives up for now and keeps what is there for a later run with the same key, where it is worth it.
   * @returns whether it was kept
   */
  async suspend(key: string): Promise<boolean> {
    if (this.#draft === undefined || this.size < WORTH_KEEPING) {
      await this.discard();
      return false;
    }
    await this.#writer.flush();
    await this.#writer.release();
    await this.#handle.sync();
    await this.#handle.close();
    await rename(this.#draft, partName(this.path, key));
    return true;
  }

  /** Removes what was written. */
  async discard(): Promise<void> {
    await this.#writer.release();
    await this.#handle.close().catch(() => undefined);
    if (this.#draft !== undefined) await rm(this.#draft, { force: true });
  }
}

/** Follows links, so that a link stays and the file that it names is replaced. */
function placeOf(target: string): { name: string; special: boolean } {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return { name: resolve(target), special: false };
  if (stat.isDirectory()) {
    throw new PacificaError('invalid', `${target} is a folder`, { hint: 'give the name of a file' });
  }
  return { name: realpathSync(target), special: !stat.isFile() };
}

/** Name of the part that is kept for a later run. */
function partName(path: string, key: string): string {
  const id = createHash('sha256').update(key).digest('hex').slice(0, 12);
  return join(dirname(path), `.${short(basename(path))}.${id}.part`);
}

/** Leaves room for our endings: names have 255 bytes at most. */
function short(name: string): string {
  return Array.from(name).slice(0, 50).join('');
}

async function take(part: string, draft: string): Promise<boolean> {
  try {
    await rename(part, draft);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Copies a file of at most `size` bytes; where the file system can, without a second copy of its bytes. */
async function copy(from: string, size: number, draft: string): Promise<boolean> {
  const stat = statSync(from, { throwIfNoEntry: false });
  if (stat === undefined || stat.size > size) return false;
  await copyFile(from, draft, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await chmod(draft, 0o644);
  return true;
}

function outputError(error: unknown, path: string): PacificaError {
  if (error instanceof PacificaError) return error;
  const code = systemCode(error) ?? '';
  const text = `can not write ${path}`;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new PacificaError('not-found', `${text}: there is no folder ${dirname(path)}`, { cause: error });
  }
  if (['EACCES', 'EPERM', 'EROFS'].includes(code)) {
    return new PacificaError('forbidden', `${text}: ${messageOf(error)}`, { cause: error });
  }
  return wrapSystemError(error, text);
}

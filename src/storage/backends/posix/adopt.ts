import type { Hash } from 'node:crypto';
import { constants, type BigIntStats } from 'node:fs';
import { access, type FileHandle, lstat, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createHasher, hashReader } from '../../../lib/digest.js';
import { syncFolder } from '../../../lib/durable-write.js';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import { syncFile } from '../../../lib/file-calls.js';
import { FileReader } from '../../../lib/file-reader.js';
import { ioBuffer } from '../../../lib/io-buffer.js';
import { READ_SIZE } from '../../../lib/random-reader.js';
import type { FileStatus, PutOptions, Written } from '../backend.js';
import { fileStatus, isMissing, written } from './posix-file.js';
import { storageError } from './storage-error.js';
import { type TemporaryFile, unlinkIfThere } from './temporary-files.js';

export interface AdoptTarget {
  /** where the file is to be */
  readonly path: string;
  readonly beforeVisible: PutOptions['beforeVisible'];
  /** gives the complete file at `from` its place; when it throws, both are as they were */
  show(from: string): Promise<void>;
  /** makes that durable */
  sync(): Promise<void>;
  /**
   * Stores bytes instead, where the file itself can not be had.
   * @param check looks at the file that they were written to; throws to keep it from becoming visible
   */
  put(
    body: AsyncIterable<Uint8Array>,
    options: Required<Pick<PutOptions, 'size' | 'mtimeMs' | 'beforeVisible'>>,
    check: (copy: TemporaryFile) => Promise<void>,
  ): Promise<FileStatus>;
}

/**
 * Makes a file of this machine one of the archive: by a new name where it can, else by a copy. Until it has its place
 * the source stays as it was.
 */
export async function adoptFile(source: string, target: AdoptTarget): Promise<FileStatus> {
  const file = await openSource(source);
  try {
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) throw new PacificaError('invalid', `${source} is not a regular file`);
    await requireRemovable(source);
    // a second name elsewhere would let others write to a file of the archive
    if (stats.nlink === 1n && (await rename(source, file, stats, target))) {
      return fileStatus(await file.stat({ bigint: true }), target.path);
    }
    const read = createHasher('sha256');
    const options = {
      size: Number(stats.size),
      mtimeMs: Number(stats.mtimeNs) / 1e6,
      async beforeVisible(copy: Written) {
        const now = await file.stat({ bigint: true });
        if (now.size !== stats.size || now.mtimeNs !== stats.mtimeNs) {
          throw new PacificaError('integrity', `${source} was changed while it was copied`);
        }
        await target.beforeVisible?.(copy);
      },
    };
    // the source is removed afterwards: what was written is read back before
    const status = await target.put(hashing(readAll(file), read), options, async (copy) => {
      await syncFile(copy.fd);
      if ((await hashFile(copy.path)) !== read.digest('hex')) {
        throw new PacificaError('integrity', `the copy of ${source} came out with other bytes`, {
          hint: 'the source is untouched: look after the disk of the archive, and try again',
        });
      }
    });
    // somebody who was quicker may have taken it; a file that has its name now, or what was written to it since, was not copied
    const now = await file.stat({ bigint: true });
    const isCopied = now.size === stats.size && now.mtimeNs === stats.mtimeNs;
    if (isCopied && (await isNamed(source, stats).catch(falseIfMissing))) await unlinkIfThere(source);
    await syncFolder(dirname(source));
    return status;
  } finally {
    await file.close();
  }
}

async function openSource(source: string): Promise<FileHandle> {
  try {
    // without O_NONBLOCK the open of a pipe would wait for ever
    return await open(source, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemCode(error) === 'ELOOP' || systemCode(error) === 'ENXIO') {
      throw new PacificaError('invalid', `${source} is not a regular file`, { cause: error });
    }
    if (isMissing(error)) throw gone(source, error);
    if (systemCode(error) === 'EACCES') {
      throw new PacificaError('forbidden', `${source} can not be read`, { cause: error });
    }
    throw storageError(error, `can not open ${source}`);
  }
}

async function requireRemovable(source: string): Promise<void> {
  try {
    await access(dirname(source), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new PacificaError('forbidden', `${source} can not be taken out of its folder`, {
      hint: 'let the user that the archive runs as write that folder',
      cause: error,
    });
  }
}

/** @returns false when it can not be had that way: another file system, or not ours to make read-only */
async function rename(source: string, file: FileHandle, stats: BigIntStats, target: AdoptTarget): Promise<boolean> {
  try {
    await file.chmod(0o444);
  } catch (error) {
    if (systemCode(error) === 'EPERM') return false;
    throw error;
  }
  try {
    await target.beforeVisible?.(written(stats));
    await file.sync();
    if (!(await isNamed(source, stats))) {
      throw new PacificaError('integrity', `${source} was replaced while it was taken in`);
    }
    await target.show(source);
  } catch (error) {
    // the first error is the one to tell
    const isThere = await isNamed(source, stats).catch(() => false);
    // where it is not, somebody else took it in: it is a file of the archive, and stays read-only
    if (isThere) await file.chmod(Number(stats.mode) & 0o7777);
    else if (isMissing(error)) throw gone(source, error);
    if (systemCode(error) === 'EXDEV') return false;
    throw error;
  }
  // another move of it that failed meanwhile may have given it its old mode back
  if (((await file.stat()).mode & 0o7777) !== 0o444) {
    await file.chmod(0o444);
    await file.sync();
  }
  await target.sync();
  await syncFolder(dirname(source));
  return true;
}

/** @returns whether a path still is the name of a file; throws when it is nobody's */
async function isNamed(path: string, { ino, dev }: BigIntStats): Promise<boolean> {
  const named = await lstat(path, { bigint: true });
  return named.ino === ino && named.dev === dev;
}

function falseIfMissing(error: unknown): false {
  if (isMissing(error)) return false;
  throw error;
}

function gone(source: string, cause: unknown): PacificaError {
  return new PacificaError('not-found', `there is no file ${source}`, { cause });
}

async function hashFile(path: string): Promise<string> {
  const reader = await FileReader.openPatiently(path);
  try {
    return await hashReader(reader, 'sha256');
  } finally {
    await reader.close();
  }
}

async function* hashing(pieces: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

async function* readAll(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const { buffer, bytesRead } = await file.read(ioBuffer(READ_SIZE), 0, READ_SIZE, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

import { createHash } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import type { FileStatus, StoredFile, Written } from '../backend.js';
import { storageError } from './storage-error.js';

/** @param path for people */
export function fileStatus(stats: BigIntStats, path: string): FileStatus {
  const size = Number(stats.size);
  return {
    size,
    mtimeMs: Number(stats.mtimeNs) / 1e6,
    ctimeMs: Number(stats.ctimeNs) / 1e6,
    bytesPerLevel: [size],
    media: 'disk',
    path,
    etag: etagOf(stats),
  };
}

/** @returns what a complete file that nobody can see yet will be */
export function written(stats: BigIntStats): Written {
  const { size, mtimeMs, etag } = fileStatus(stats, '');
  return { size, mtimeMs, etag: hasBirth(stats) ? etag : undefined };
}

/**
 * Names a version of a file: it differs for every other file, and stays when a finished file is renamed, linked or made
 * read-only. Birth time tells a file from an earlier one that had its inode number. Where the file system keeps none,
 * change time has to do, which also moves for smaller reasons, a new name among them.
 */
function etagOf(stats: BigIntStats): string {
  const { ino, size, mtimeNs } = stats;
  const birth = hasBirth(stats) ? stats.birthtimeNs : stats.ctimeNs;
  return createHash('sha256').update(`${ino} ${birth} ${size} ${mtimeNs}`).digest('base64url').slice(0, 27);
}

/** Node gives 0 where there is no birth time. */
function hasBirth({ birthtimeNs }: BigIntStats): boolean {
  return birthtimeNs !== 0n;
}

/** An open file of the archive. Each has a descriptor of its own and reads by position: readers share nothing. */
export class PosixFile implements StoredFile {
  readonly status: FileStatus;
  readonly #file: FileHandle;

  private constructor(file: FileHandle, status: FileStatus) {
    this.#file = file;
    this.status = status;
  }

  /**
   * @param missing what to throw when there is no regular file
   */
  static async open(path: string, missing: () => PacificaError): Promise<PosixFile> {
    let file: FileHandle;
    try {
      // without O_NONBLOCK the open of a pipe that somebody left there would wait for ever
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (isMissing(error)) throw missing();
      throw storageError(error, `can not open ${path}`);
    }
    try {
      const stats = await file.stat({ bigint: true });
      if (!stats.isFile()) throw missing();
      return new PosixFile(file, fileStatus(stats, path));
    } catch (error) {
      await file.close();
      throw storageError(error, `can not open ${path}`);
    }
  }

  get size(): number {
    return this.status.size;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const want = Math.max(0, Math.min(buffer.length, this.size - position));
    let got = 0;
    while (got < want) {
      const { bytesRead } = await this.#read(buffer, got, want - got, position + got);
      if (bytesRead === 0) {
        throw new PacificaError(
          'integrity',
          `${this.status.path} ends at ${position + got} of ${this.size} bytes: it was cut while it was read`,
        );
      }
      got += bytesRead;
    }
    return got;
  }

  async #read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    try {
      return await this.#file.read(buffer, offset, length, position);
    } catch (error) {
      throw storageError(error, `can not read ${this.status.path}`);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** No such name, a file where a folder should be, a symlink that leads nowhere or to itself, a name too long, a socket. */
const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO']);

/** @returns whether a system error says that there is no such file */
export function isMissing(error: unknown): boolean {
  return MISSING.has(systemCode(error) ?? '');
}

import { hash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import { FileReader } from '../../../lib/file-reader.js';
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
  return hash('sha256', `${ino} ${birth} ${size} ${mtimeNs}`, 'base64url').slice(0, 27);
}

/** Node gives 0 where there is no birth time. */
function hasBirth({ birthtimeNs }: BigIntStats): boolean {
  return birthtimeNs !== 0n;
}

/** An open file of the archive. Each has a descriptor of its own and reads by position: readers share nothing. */
export class PosixFile implements StoredFile {
  readonly status: FileStatus;
  readonly #reader: FileReader;

  private constructor(reader: FileReader, path: string) {
    this.#reader = reader;
    this.status = fileStatus(reader.stats, path);
  }

  /**
   * @param missing what to throw when there is no regular file
   */
  static async open(path: string, missing: () => PacificaError): Promise<PosixFile> {
    try {
      return new PosixFile(FileReader.openAtOnce(path) ?? (await FileReader.openPatiently(path)), path);
    } catch (error) {
      const cause = causeOf(error);
      if (isMissing(cause) || (cause instanceof PacificaError && cause.code === 'invalid')) throw missing();
      throw storageError(cause, `can not open ${path}`);
    }
  }

  get size(): number {
    return this.status.size;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    try {
      return await this.#reader.read(buffer, position);
    } catch (error) {
      throw storageError(causeOf(error), `can not read ${this.status.path}`);
    }
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

/** @returns the system's error, where there is one: the storage has hints for it */
function causeOf(error: unknown): unknown {
  return error instanceof PacificaError && systemCode(error.cause) !== undefined ? error.cause : error;
}

/** No such name, a file where a folder should be, a symlink that leads nowhere or to itself, a name too long, a socket. */
const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO']);

/** @returns whether a system error says that there is no such file */
export function isMissing(error: unknown): boolean {
  return MISSING.has(systemCode(error) ?? '');
}

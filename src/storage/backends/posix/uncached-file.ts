import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { DIRECT_BLOCK, giveDirectBlock, SECTOR, takeDirectBlock } from '../../../lib/direct-memory.js';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import type { FileStatus, StoredFile } from '../backend.js';
import { fileStatus, isMissing, PosixFile } from './posix-file.js';
import { storageError } from './storage-error.js';

/**
 * An open file of the archive that is read from the disk, past the page cache (O_DIRECT): what others read often stays
 * there, what nobody reads does not get there, and a disk that forgot is not covered up by memory that remembers.
 * One read at a time.
 */
export class UncachedFile implements StoredFile {
  readonly status: FileStatus;
  readonly #file: FileHandle;
  #piece: Buffer | undefined;
  /** the same file through the cache, where the file system takes no direct reads after all */
  #plain: PosixFile | undefined;

  private constructor(file: FileHandle, status: FileStatus, piece: Buffer) {
    this.#file = file;
    this.status = status;
    this.#piece = piece;
  }

  /**
   * Opens a file; through the cache where the file system or the memory of the process does not allow direct reads.
   * @param missing what to throw when there is no regular file
   */
  static async open(path: string, missing: () => PacificaError): Promise<StoredFile> {
    let file: FileHandle | undefined;
    try {
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_DIRECT);
      const stats = await file.stat({ bigint: true });
      if (!stats.isFile()) throw missing();
      return new UncachedFile(file, fileStatus(stats, path), takeDirectBlock());
    } catch (error) {
      await file?.close();
      if (isMissing(error)) throw missing();
      if (systemCode(error) === 'EINVAL' || error instanceof RangeError) return PosixFile.open(path, missing);
      throw storageError(error, `can not open ${path}`);
    }
  }

  get size(): number {
    return this.status.size;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const want = Math.max(0, Math.min(buffer.length, this.size - position));
    let got = 0;
    while (got < want) got += await this.#some(buffer.subarray(got, want), position + got);
    return got;
  }

  /** Reads at least one byte, and at most a piece. */
  async #some(target: Uint8Array, position: number): Promise<number> {
    if (this.#plain !== undefined) return this.#plain.read(target, position);
    const piece = this.#piece;
    if (piece === undefined) throw new PacificaError('internal', `${this.status.path} is closed`);
    const before = position % SECTOR;
    const length = Math.min(DIRECT_BLOCK, Math.ceil((before + target.length) / SECTOR) * SECTOR);
    const bytes = await this.#direct(piece, length, position - before);
    if (bytes === undefined) return this.#some(target, position);
    if (bytes <= before) {
      throw new PacificaError(
        'integrity',
        `${this.status.path} ends at ${position} of ${this.size} bytes: it was cut while it was read`,
      );
    }
    const got = Math.min(bytes - before, target.length);
    target.set(piece.subarray(before, before + got));
    return got;
  }

  /** @returns bytes read; undefined when the file system takes no direct reads */
  async #direct(piece: Buffer, length: number, position: number): Promise<number | undefined> {
    try {
      return (await this.#file.read(piece, 0, length, position)).bytesRead;
    } catch (error) {
      if (systemCode(error) !== 'EINVAL') throw storageError(error, `can not read ${this.status.path}`);
      // by its descriptor: the name may be another file's by now
      this.#plain = await PosixFile.open(
        `/proc/self/fd/${this.#file.fd}`,
        () => new PacificaError('internal', `${this.status.path} can not be opened again`),
      );
      return undefined;
    }
  }

  async close(): Promise<void> {
    if (this.#piece !== undefined) giveDirectBlock(this.#piece);
    this.#piece = undefined;
    await this.#plain?.close();
    await this.#file.close();
  }
}

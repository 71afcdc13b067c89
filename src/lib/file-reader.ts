import { type BigIntStats, closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { PacificaError, systemCode, wrapSystemError } from './errors.js';
import { atOnce, closeFile, openFile, statFile } from './file-calls.js';
import type { PromptReader } from './random-reader.js';

const readAsync = promisify(read);

/** Reads up to this many bytes are made at once where the file system allows. Measured: 5 times faster for small files. */
const SMALL_READ = 256 * 1024;
/** bytes that `st_blocks` counts by, on every system (stat(2)) */
const BLOCK = 512n;
/** files up to this many bytes are closed at once */
const SMALL_FILE = 1024 * 1024;

const DONE = Promise.resolve();

export interface OpenOptions {
  /** false: a symbolic link is no regular file. Default: true */
  readonly follow?: boolean;
}

/** A regular file on this machine, open for reading. */
export class FileReader implements PromptReader {
  readonly size: number;
  /** last modification, ms since 1970 */
  readonly mtimeMs: number;
  /** what it was when it was opened */
  readonly stats: BigIntStats;
  readonly #path: string;
  readonly #fd: number;
  /**
   * Whether all bytes have blocks on the disk. A file that an HSM has moved to tape has not: reading it takes minutes. Nor
   * have files that are sparse or that the file system packs, which does no harm.
   */
  readonly #isOnDisk: boolean;
  #reads = 0;
  #closed: Promise<void> | undefined;
  #lastRead: () => void = () => undefined;

  private constructor(path: string, fd: number, stats: BigIntStats) {
    this.#path = path;
    this.#fd = fd;
    this.stats = stats;
    this.#isOnDisk = stats.blocks * BLOCK >= stats.size;
    this.size = Number(stats.size);
    this.mtimeMs = Number(stats.mtimeNs) / 1e6;
  }

  /** @throws PacificaError `not-found`, `invalid` for what is no regular file; its cause is the system's error */
  static open(path: string, { follow = true }: OpenOptions = {}): FileReader {
    let fd: number | undefined;
    try {
      fd = openSync(path, flags(follow));
      return new FileReader(path, fd, regular(path, fstatSync(fd, { bigint: true })));
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      throw openError(path, follow, error);
    }
  }

  /** {@link open}, unless the file system lets calls wait. @returns undefined then: {@link openPatiently} waits */
  static openAtOnce(path: string, options: OpenOptions = {}): FileReader | undefined {
    return atOnce(() => FileReader.open(path, options));
  }

  /** {@link open} for files on slow disks too: waits for them without holding up others. */
  static async openPatiently(path: string, { follow = true }: OpenOptions = {}): Promise<FileReader> {
    let fd: number | undefined;
    try {
      fd = await openFile(path, flags(follow));
      return new FileReader(path, fd, regular(path, await statFile(fd)));
    } catch (error) {
      if (fd !== undefined) await closeFile(fd);
      throw openError(path, follow, error);
    }
  }

  readAtOnce(buffer: Uint8Array, position: number): number | undefined {
    const length = this.#lengthOf(buffer, position);
    if (length > SMALL_READ || !this.#isOnDisk || this.#closed !== undefined) return undefined;
    try {
      const got = atOnce(() => readSync(this.#fd, buffer, 0, length, position));
      return got === length ? got : undefined;
    } catch {
      // read() meets the same again
      return undefined;
    }
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    if (this.#closed !== undefined) throw new PacificaError('internal', `${this.#path} is closed`);
    const got = this.readAtOnce(buffer, position);
    if (got !== undefined) return got;
    const length = this.#lengthOf(buffer, position);
    let filled = 0;
    this.#reads += 1;
    try {
      while (filled < length) {
        const { bytesRead } = await readAsync(this.#fd, buffer, filled, length - filled, position + filled);
        if (bytesRead === 0) {
          throw new PacificaError(
            'integrity',
            `${this.#path} ends at ${position + filled} of ${this.size} bytes: it was cut while it was read`,
          );
        }
        filled += bytesRead;
      }
    } catch (error) {
      throw wrapSystemError(error, `can not read ${this.#path}`);
    } finally {
      this.#reads -= 1;
      if (this.#reads === 0) this.#lastRead();
    }
    return filled;
  }

  /** @returns bytes that there are for the buffer */
  #lengthOf(buffer: Uint8Array, position: number): number {
    return Math.min(buffer.length, Math.max(0, this.size - position));
  }

  closeAtOnce(): boolean {
    if (this.#closed !== undefined || this.#reads > 0 || this.size > SMALL_FILE) return false;
    const closed = atOnce(() => {
      this.#closed = DONE;
      closeSync(this.#fd);
      return true;
    });
    return closed === true;
  }

  /** Waits for reads under way: the number of a descriptor that is closed may be another file's at once. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#reads > 0) await new Promise<void>((resolve) => (this.#lastRead = resolve));
    await closeFile(this.#fd, this.size > SMALL_FILE);
  }
}

/** Without O_NONBLOCK the open of a pipe would wait for ever. */
function flags(follow: boolean): number {
  return constants.O_RDONLY | constants.O_NONBLOCK | (follow ? 0 : constants.O_NOFOLLOW);
}

function regular(path: string, stats: BigIntStats): BigIntStats {
  if (!stats.isFile()) throw new PacificaError('invalid', `${path} is not a regular file`);
  return stats;
}

function openError(path: string, follow: boolean, error: unknown): PacificaError {
  if (!follow && systemCode(error) === 'ELOOP') {
    return new PacificaError('invalid', `${path} is not a regular file`, { cause: error });
  }
  return wrapSystemError(error, `can not open ${path}`);
}

import { constants } from 'node:fs';
import { copyFile, link, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Archive, ArchiveFile } from '../archive/archive.js';
import { abortable } from '../lib/abortable.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { createHasher, hashReader, parseHashType } from '../lib/digest.js';
import { FileWriter } from '../lib/durable-write.js';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import { readChunks } from '../lib/random-reader.js';
import type { CartFile } from '../storage/database/carts.js';
import { usableHash } from './request.js';

/** A file that lies in its cart, its hash verified. */
export interface Brought {
  /** bytes */
  readonly size: number;
  /** whole seconds since 1970 */
  readonly mtime: number;
  /** bytes that it takes on the volume: 0 for a link */
  readonly written: number;
}

export interface BringOptions {
  readonly signal: AbortSignal;
  /** called before a copy is made, with what it will take of the volume */
  readonly reserve: (bytes: number) => Promise<void>;
  /** called with bytes as they come */
  readonly onBytes: (bytes: number) => void;
}

/** What file systems answer that can not make such a link: another device, not supported, not permitted. */
const CAN_NOT_LINK: ReadonlySet<string> = new Set([
  'EXDEV',
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EINVAL',
  'ENOTTY',
  'EACCES',
]);
/** of a copy: whole blocks, and something for its names */
const BLOCK = 4096;

/** @returns bytes of the volume that a copied file takes */
export function spaceFor(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK + BLOCK;
}

/**
 * Brings files from the archive into one cart: as a reflink or a hard link where the archive's files lie on the same
 * file system, else as a copy that is hashed while it is written. Every file's hash is taken from its bytes.
 */
export class Bringer {
  readonly #archive: Archive;
  readonly #scratch: string;
  readonly #transferSize: number;
  #canLink: boolean;
  #canReflink = true;

  /**
   * @param scratch folder for what is not finished, on the cart's file system
   * @param transferSize bytes a read when copying
   */
  constructor(archive: Archive, scratch: string, options: { copy: 'auto' | 'always'; transferSize: number }) {
    this.#archive = archive;
    this.#scratch = scratch;
    this.#transferSize = options.transferSize;
    this.#canLink = options.copy === 'auto' && archive.localPath !== undefined;
  }

  /** @returns whether files take no space, as far as can be told from this one */
  async links(file: Pick<CartFile, 'archiveId'>): Promise<boolean> {
    const path = await this.#localPath(parseArchiveId(file.archiveId));
    if (path === undefined) return false;
    const probe = join(this.#scratch, 'probe');
    const linked = (await this.#reflink(path, probe)) || (await this.#hardLink(path, probe));
    await rm(probe, { force: true });
    return linked;
  }

  /**
   * @param target absolute path that the file gets; what lies there already is replaced
   * @throws PacificaError `integrity` when the hash is another one; the archive's errors
   */
  async bring(file: CartFile, target: string, options: BringOptions): Promise<Brought> {
    const expected = usableHash(parseHashType(file.hashtype), file.hashsum);
    if (expected === undefined) throw mismatch(file, undefined);
    await mkdir(dirname(target), { recursive: true });
    return (await this.#linked(file, target, expected, options)) ?? this.#copied(file, target, expected, options);
  }

  async #linked(
    file: CartFile,
    target: string,
    expected: string,
    { signal, onBytes }: BringOptions,
  ): Promise<Brought | undefined> {
    const path = await this.#localPath(parseArchiveId(file.archiveId));
    if (path === undefined) return undefined;
    const scratch = join(this.#scratch, String(file.position));
    try {
      if (await this.#reflink(path, scratch)) {
        const { mtimeMs } = await lstat(path);
        await seal(scratch, mtimeMs);
      } else if (!(await this.#hardLink(path, scratch))) return undefined;
      const brought = await this.#verify(file, scratch, expected, signal);
      onBytes(brought.size);
      // rename() does nothing when both names are the same file already
      await rm(target, { force: true });
      await rename(scratch, target);
      return { ...brought, written: 0 };
    } finally {
      await rm(scratch, { force: true });
    }
  }

  async #localPath(id: ArchiveId): Promise<string | undefined> {
    return this.#canLink ? this.#archive.localPath?.(id) : undefined;
  }

  /** @returns false when the file system shares no blocks between files */
  async #reflink(path: string, target: string): Promise<boolean> {
    if (!this.#canReflink) return false;
    try {
      await copyFile(path, target, constants.COPYFILE_FICLONE_FORCE);
      return true;
    } catch (error) {
      if (!CAN_NOT_LINK.has(systemCode(error) ?? '')) throw linkError(error);
      this.#canReflink = false;
      return false;
    }
  }

  /** @returns false when it can not be linked, and has to be copied */
  async #hardLink(path: string, target: string): Promise<boolean> {
    try {
      await rm(target, { force: true });
      await link(path, target);
      return (await lstat(target)).isFile();
    } catch (error) {
      const code = systemCode(error) ?? '';
      // one file that has as many names as a file can have
      if (code === 'EMLINK') return false;
      if (!CAN_NOT_LINK.has(code)) throw linkError(error);
      this.#canLink = false;
      return false;
    }
  }

  async #verify(
    file: CartFile,
    path: string,
    expected: string,
    signal: AbortSignal,
  ): Promise<Pick<Brought, 'size' | 'mtime'>> {
    const reader = FileReader.open(path);
    try {
      const sum = await hashReader(reader, parseHashType(file.hashtype), { signal });
      if (sum !== expected) throw mismatch(file, sum);
      return { size: reader.size, mtime: Math.floor((await lstat(path)).mtimeMs / 1000) };
    } finally {
      await reader.close();
    }
  }

  async #copied(file: CartFile, target: string, expected: string, options: BringOptions): Promise<Brought> {
    const source = await this.#archive.open(parseArchiveId(file.archiveId));
    const scratch = join(this.#scratch, String(file.position));
    try {
      const { size, mtimeMs } = source.status;
      await options.reserve(spaceFor(size));
      const sum = await this.#write(source, scratch, parseHashType(file.hashtype), options);
      if (sum !== expected) throw mismatch(file, sum);
      await seal(scratch, mtimeMs);
      await rename(scratch, target);
      return { size, mtime: Math.floor(mtimeMs / 1000), written: spaceFor(size) };
    } finally {
      await rm(scratch, { force: true });
      await source.close();
    }
  }

  /** @returns the hash of what was written */
  async #write(
    source: ArchiveFile,
    path: string,
    type: ReturnType<typeof parseHashType>,
    { signal, onBytes }: BringOptions,
  ): Promise<string> {
    const { size } = source.status;
    const hasher = createHasher(type);
    const output = await open(path, 'w');
    const writer = new FileWriter(output);
    try {
      const chunks =
        source.reader === undefined
          ? abortable(source.stream(), signal)
          : readChunks(source.reader, 0, size, this.#transferSize);
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        hasher.update(chunk);
        await writer.write(chunk);
        onBytes(chunk.length);
      }
      await writer.flush();
    } catch (error) {
      throw wrapSystemError(error, 'can not write to the volume');
    } finally {
      await writer.release();
      await output.close();
    }
    if (writer.size !== size) {
      throw new PacificaError('integrity', `the archive gave ${writer.size} bytes, it had announced ${size}`);
    }
    return hasher.digest('hex');
  }
}

/** Gives a file of ours its time, makes it read-only and its bytes durable. */
async function seal(path: string, mtimeMs: number): Promise<void> {
  // a clone of a read-only file is read-only: its owner may do all this without writing to it
  const file = await open(path, 'r');
  try {
    await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
    await file.chmod(0o444);
    await file.sync();
  } finally {
    await file.close();
  }
}

function linkError(error: unknown): PacificaError {
  if (systemCode(error) === 'ENOENT') {
    return new PacificaError('not-found', 'the file was deleted from the archive', { cause: error });
  }
  return wrapSystemError(error, 'can not link a file of the archive');
}

function mismatch(file: CartFile, sum: string | undefined): PacificaError {
  const expected = file.hashsum === '' ? 'none was given' : `${file.hashsum} was given`;
  const found = sum === undefined ? '' : `, its ${file.hashtype} is ${sum}`;
  return new PacificaError('integrity', `File hash does not match provided hash: ${expected}${found}`);
}

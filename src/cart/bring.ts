import { lstatSync, mkdirSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Archive, ArchiveFile } from '../archive/archive.js';
import { abortable } from '../lib/abortable.js';
import { parseArchiveId } from '../lib/archive-id.js';
import { createHasher, hashBytes, type HashType, hashReader, parseHashType } from '../lib/digest.js';
import { FileWriter } from '../lib/file-writer.js';
import { PacificaError, wrapSystemError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import { giveBuffer, LARGE_BUFFER, takeBuffer } from '../lib/io-buffer.js';
import { readChunks } from '../lib/random-reader.js';
import type { CartFile } from '../storage/database/carts.js';
import type { Links } from './links.js';
import { removeFile, seal } from './links.js';
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

/** of a copy: whole blocks, and something for its names */
const BLOCK = 4096;
/** folders that are known to be there */
const KNOWN_FOLDERS = 1000;

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
  readonly #links: Links;
  readonly #scratch: string;
  readonly #transferSize: number;
  readonly #folders = new Set<string>();

  /**
   * @param links what the volume can link; kept from cart to cart
   * @param scratch folder for what is not finished, on the cart's file system; made when it is needed
   * @param transferSize bytes a read when copying
   */
  constructor(archive: Archive, links: Links, scratch: string, transferSize: number) {
    this.#archive = archive;
    this.#links = links;
    this.#scratch = scratch;
    this.#transferSize = transferSize;
  }

  /**
   * @param files of the cart; the first one that is there tells
   * @returns whether files take no space
   */
  async canLink(files: AsyncIterable<Pick<CartFile, 'archiveId'>>): Promise<boolean> {
    if (this.#links.works !== undefined) return this.#links.works && this.#archive.pathOf !== undefined;
    for await (const file of files) {
      const path = this.#pathOf(file);
      if (path === undefined) return false;
      try {
        return await this.#links.probe(path, this.#unfinished('probe'));
      } catch (error) {
        // the step that brings it tells about it
        if (!(error instanceof PacificaError && error.code === 'not-found')) throw error;
      }
    }
    return false;
  }

  /**
   * Looks at the archive's file, where it lies on this machine.
   * @returns bytes; undefined when the archive has to be asked
   */
  sizeOf(file: Pick<CartFile, 'archiveId'>): number | undefined {
    const path = this.#pathOf(file);
    const stats = path === undefined ? undefined : lstatSync(path, { throwIfNoEntry: false });
    return stats?.isFile() === true ? stats.size : undefined;
  }

  /**
   * @param target absolute path that the file gets; what lies there already is replaced
   * @throws PacificaError `integrity` when the hash is another one; the archive's errors
   */
  async bring(file: CartFile, target: string, options: BringOptions): Promise<Brought> {
    const expected = usableHash(parseHashType(file.hashtype), file.hashsum);
    if (expected === undefined) throw mismatch(file, undefined);
    this.#makeFolder(dirname(target));
    return (await this.#linked(file, target, expected, options)) ?? this.#copied(file, target, expected, options);
  }

  async #linked(
    file: CartFile,
    target: string,
    expected: string,
    { signal, onBytes }: BringOptions,
  ): Promise<Brought | undefined> {
    const path = this.#pathOf(file);
    if (path === undefined) return undefined;
    if (!(await this.#links.link(path, target, () => this.#unfinished(String(file.position))))) return undefined;
    try {
      const { sum, ...brought } = await this.#hash(target, parseHashType(file.hashtype), signal);
      if (sum !== expected) throw mismatch(file, sum);
      onBytes(brought.size);
      return { ...brought, written: 0 };
    } catch (error) {
      await removeFile(target);
      // a symbolic link that somebody put into the archive: what it leads to is copied
      if (error instanceof PacificaError && error.code === 'invalid') return undefined;
      throw error;
    }
  }

  async #hash(
    path: string,
    type: HashType,
    signal: AbortSignal,
  ): Promise<Pick<Brought, 'size' | 'mtime'> & { sum: string }> {
    const reader = FileReader.open(path, { follow: false });
    try {
      const { size } = reader;
      const facts = { size, mtime: Math.floor(reader.mtimeMs / 1000) };
      // one read is enough
      if (size > LARGE_BUFFER) return { ...facts, sum: await hashReader(reader, type, { signal }) };
      const buffer = takeBuffer(LARGE_BUFFER);
      const bytes = buffer.subarray(0, await reader.read(buffer.subarray(0, size), 0));
      const sum = hashBytes(type, bytes);
      giveBuffer(buffer);
      return { ...facts, sum };
    } finally {
      await reader.close();
    }
  }

  #pathOf({ archiveId }: Pick<CartFile, 'archiveId'>): string | undefined {
    return this.#links.works === false ? undefined : this.#archive.pathOf?.(parseArchiveId(archiveId));
  }

  /** @returns path for a file that is not finished */
  #unfinished(name: string): string {
    this.#makeFolder(this.#scratch);
    return join(this.#scratch, name);
  }

  /** Files of one folder stand together: few of its neighbours need to be kept in mind. */
  #makeFolder(path: string): void {
    if (this.#folders.has(path)) return;
    mkdirSync(path, { recursive: true });
    if (this.#folders.size >= KNOWN_FOLDERS) this.#folders.clear();
    this.#folders.add(path);
  }

  async #copied(file: CartFile, target: string, expected: string, options: BringOptions): Promise<Brought> {
    const source = await this.#archive.open(parseArchiveId(file.archiveId));
    const scratch = this.#unfinished(String(file.position));
    try {
      const { size, mtimeMs } = source.status;
      await options.reserve(spaceFor(size));
      const sum = await this.#write(source, scratch, parseHashType(file.hashtype), options);
      if (sum !== expected) throw mismatch(file, sum);
      await seal(scratch, mtimeMs);
      await rename(scratch, target);
      return { size, mtime: Math.floor(mtimeMs / 1000), written: spaceFor(size) };
    } finally {
      await removeFile(scratch);
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

function mismatch(file: CartFile, sum: string | undefined): PacificaError {
  const expected = file.hashsum === '' ? 'none was given' : `${file.hashsum} was given`;
  const found = sum === undefined ? '' : `, its ${file.hashtype} is ${sum}`;
  return new PacificaError('integrity', `File hash does not match provided hash: ${expected}${found}`);
}

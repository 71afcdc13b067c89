import { type FileHandle, open } from 'node:fs/promises';
import type { MetadataEntry } from '../catalog/catalog.js';
import { type HashType, normalizeHash, parseHashType } from '../lib/digest.js';
import { PacificaError, wrapSystemError } from '../lib/errors.js';
import { SMALL_BUFFER } from '../lib/io-buffer.js';
import { BATCH } from '../storage/database/ingest-jobs.js';
import { jsonArray } from './json-array.js';
import { cleanSubdir, dataPath } from './member-path.js';
import { Problems } from '../lib/problems.js';

/** A file as the metadata names it. */
export interface NamedFile {
  /** the whole entry, cleaned */
  readonly entry: MetadataEntry;
  /** member of the bundle: `data/...` */
  readonly path: string;
  /** bytes */
  readonly size: number;
  readonly hashtype: HashType;
  /** lower-case hex */
  readonly hashsum: string;
  /** for a move: absolute path of the file on the server */
  readonly source: string | undefined;
}

interface ReadOptions {
  /** whether every file must say where it lies */
  readonly move: boolean;
  /** is told how much of the document was read, 0 to 1 */
  readonly onProgress?: (part: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * A metadata document that is well-formed, with its `Files` entries in the form that the metadata service takes. It stays
 * on disk: whoever goes through it reads it from there.
 */
export class BundleMetadata implements AsyncIterable<MetadataEntry> {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  /** number of its entries */
  readonly count: number;
  /** number of files that it names */
  readonly fileCount: number;

  private constructor(path: string, signal: AbortSignal | undefined, count: number, fileCount: number) {
    this.#path = path;
    this.#signal = signal;
    this.count = count;
    this.fileCount = fileCount;
  }

  /**
   * Reads and checks a document, all of it but what lies in the bundle.
   * @throws PacificaError `invalid` naming every entry that is wrong (the first 100)
   */
  static async read(path: string, { move, onProgress, signal }: ReadOptions): Promise<BundleMetadata> {
    const problems = new Problems();
    let fileCount = 0;
    let number = 0;
    for await (const values of jsonArray(fileChunks(path, onProgress, signal))) {
      for (const value of values) {
        number += 1;
        if (!isEntry(value)) {
          problems.add(`entry ${number} is not an object with a "destinationTable"`);
        } else if (value.destinationTable === 'Files') {
          problems.try(
            () => labelOf(value, number),
            () => namedFile(value, move),
          );
          fileCount += 1;
        }
      }
    }
    problems.throwIfAny();
    return new BundleMetadata(path, signal, number, fileCount);
  }

  /** All entries, the files cleaned. */
  async *[Symbol.asyncIterator](): AsyncGenerator<MetadataEntry> {
    for await (const { entry } of this.named()) yield entry;
  }

  /** All entries, with what they say where they are files. */
  async *named(): AsyncGenerator<{ entry: MetadataEntry; file?: NamedFile }> {
    for await (const values of jsonArray(fileChunks(this.#path, undefined, this.#signal))) {
      // they were checked when it was read first
      for (const entry of values as MetadataEntry[]) {
        const file = entry.destinationTable === 'Files' ? namedFile(entry, false) : undefined;
        yield file === undefined ? { entry } : { entry: file.entry, file };
      }
    }
  }

  /** The files, some hundreds at a time. */
  async *fileBatches(): AsyncGenerator<NamedFile[]> {
    let batch: NamedFile[] = [];
    for await (const { file } of this.named()) {
      if (file === undefined) continue;
      batch.push(file);
      if (batch.length < BATCH) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }
}

/**
 * Looks into metadata that came before the files.
 * @returns the hash type that most of its files name; undefined when that can't be told
 */
export async function usualHashType(path: string): Promise<HashType | undefined> {
  const counts = new Map<HashType, number>();
  try {
    for await (const values of jsonArray(fileChunks(path))) {
      for (const value of values) {
        if (!isEntry(value) || value.destinationTable !== 'Files' || typeof value.hashtype !== 'string') continue;
        const type = parseHashType(value.hashtype);
        counts.set(type, (counts.get(type) ?? 0) + 1);
      }
    }
  } catch (error) {
    // what is wrong with it is told when the job reads it
    if (error instanceof PacificaError && error.code === 'invalid') return undefined;
    throw error;
  }
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

/** A file in pieces that lie in the same memory, one after the other. */
async function* fileChunks(
  path: string,
  onProgress?: (part: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const { size } = await file.stat();
    const buffer = Buffer.allocUnsafe(SMALL_BUFFER);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      read += bytesRead;
      onProgress?.(read / size);
    }
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw wrapSystemError(error, 'can not read the metadata');
  } finally {
    await file?.close();
  }
}

function isEntry(value: unknown): value is MetadataEntry {
  if (typeof value !== 'object' || value === null || !('destinationTable' in value)) return false;
  return typeof value.destinationTable === 'string';
}

/** @returns how a problem names a file */
function labelOf(entry: MetadataEntry, number: number): string {
  const { subdir, name } = entry;
  const file = typeof name === 'string' ? `, file ${JSON.stringify(`${text(subdir)}${name}`.slice(0, 300))}` : '';
  return `entry ${number}${file}`;
}

function text(value: unknown): string {
  return typeof value === 'string' && value !== '' ? `${value.replace(/\/$/, '')}/` : '';
}

function namedFile(entry: MetadataEntry, move: boolean): NamedFile {
  const { name, source } = entry;
  if (typeof name !== 'string' || name === '') throw wrong('it has no "name"');
  if (name === '.' || name === '..' || name.endsWith('/')) throw wrong('its "name" is not that of a file');
  const subdir = cleanSubdir(stringOf(entry, 'subdir', ''));
  const path = dataPath(subdir, name);
  const size = sizeOf(entry.size);
  const { type, sum } = normalizeHash(stringOf(entry, 'hashtype'), stringOf(entry, 'hashsum'));
  if (move && (typeof source !== 'string' || !source.startsWith('/') || source.includes('\0'))) {
    throw wrong('its "source" is not an absolute path on the server');
  }
  return {
    entry: { ...entry, subdir, size, hashtype: type, hashsum: sum },
    path,
    size,
    hashtype: type,
    hashsum: sum,
    source: typeof source === 'string' ? source : undefined,
  };
}

function stringOf(entry: MetadataEntry, key: string, absent?: string): string {
  const value = entry[key] ?? absent;
  if (typeof value !== 'string') throw wrong(`it has no "${key}"`);
  return value;
}

/** A whole number of bytes; some uploaders send it as text. */
function sizeOf(value: unknown): number {
  const size = typeof value === 'string' && /^[0-9]+$/.test(value) ? Number(value) : value;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw wrong('its "size" is not a number of bytes');
  }
  return size;
}

function wrong(what: string): PacificaError {
  return new PacificaError('invalid', what);
}

import { createReadStream } from 'node:fs';
import type { MetadataEntry } from '../catalog/catalog.js';
import { type HashType, normalizeHash, parseHashType } from '../lib/digest.js';
import { PacificaError, wrapSystemError } from '../lib/errors.js';
import { READ_SIZE } from '../lib/random-reader.js';
import { BATCH } from '../storage/database/ingest-jobs.js';
import { jsonArray } from './json-array.js';
import { cleanSubdir, dataPath } from './member-path.js';
import { Problems } from './problems.js';

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

/** A metadata document that is well-formed, with its `Files` entries in the form that the metadata service takes. */
export class BundleMetadata {
  readonly entries: readonly MetadataEntry[];
  /** number of files that it names */
  readonly fileCount: number;

  private constructor(entries: readonly MetadataEntry[], fileCount: number) {
    this.entries = entries;
    this.fileCount = fileCount;
  }

  /**
   * Reads and checks a document, all of it but what lies in the bundle.
   * @param options.move whether every file must say where it lies
   * @param options.onProgress is told how many bytes were read
   * @throws PacificaError `invalid` naming every entry that is wrong (the first 100)
   */
  static async read(
    path: string,
    options: { move: boolean; onProgress?: (bytes: number) => void; signal?: AbortSignal },
  ): Promise<BundleMetadata> {
    const problems = new Problems();
    const entries: MetadataEntry[] = [];
    let fileCount = 0;
    let number = 0;
    for await (const value of jsonArray(fileChunks(path, options.onProgress, options.signal))) {
      number += 1;
      if (!isEntry(value)) {
        problems.add(`entry ${number} is not an object with a "destinationTable"`);
      } else if (value.destinationTable !== 'Files') {
        entries.push(value);
      } else {
        const named = problems.try(labelOf(value, number), () => namedFile(value, options.move));
        if (named !== undefined) entries.push(named.entry);
        fileCount += 1;
      }
    }
    problems.throwIfAny();
    return new BundleMetadata(entries, fileCount);
  }

  /** The files, some hundreds at a time. */
  *fileBatches(): Generator<NamedFile[]> {
    let batch: NamedFile[] = [];
    for (const entry of this.entries) {
      if (entry.destinationTable !== 'Files') continue;
      batch.push(namedFile(entry, false));
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
    for await (const value of jsonArray(fileChunks(path))) {
      if (!isEntry(value) || value.destinationTable !== 'Files' || typeof value.hashtype !== 'string') continue;
      const type = parseHashType(value.hashtype);
      counts.set(type, (counts.get(type) ?? 0) + 1);
    }
  } catch (error) {
    // what is wrong with it is told when the job reads it
    if (error instanceof PacificaError && error.code === 'invalid') return undefined;
    throw error;
  }
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

async function* fileChunks(
  path: string,
  onProgress?: (bytes: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_SIZE })) {
      signal?.throwIfAborted();
      yield chunk as Uint8Array;
      bytes += (chunk as Uint8Array).length;
      onProgress?.(bytes);
    }
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw wrapSystemError(error, 'can not read the metadata');
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

import { createHash, type Hash } from 'node:crypto';
import type { RandomReader } from '../lib/random-reader.js';
import { readChunks } from '../lib/random-reader.js';
import type { TarEntry } from '../lib/tar/header.js';
import { TarLayout, type TarSource } from '../lib/tar/layout.js';
import { type FoundFile, walk, type WalkOptions } from './bundle-walk.js';
import { mimetypeOf } from './mimetype.js';
import { checkUnchanged, SteadyFile } from './steady-file.js';

/** Files a batch of the tar's layout. */
const BATCH = 500;
const HASH_TYPE = 'sha1';
const HASH_DIGITS = 40;
const METADATA = 'metadata.txt';

/** Who brings what: the entries of metadata.txt that are no files. */
export interface BundleFacts {
  readonly project: string;
  readonly instrument: string;
  readonly submitter: string;
  readonly keyValues: readonly (readonly [key: string, value: string])[];
}

/** A body for the ingest service whose length is known before its first byte is read. */
export interface Bundle {
  /** bytes of the whole body */
  readonly size: number;
  /** number of files in it, undefined when it was made by somebody else */
  readonly files?: number;
  /** The tar, once. Throws `precondition` when a file changes while it is read. */
  stream(): AsyncIterable<Uint8Array>;
}

/**
 * Prepares a bundle (wire.md, ingest part) that is made while it is sent: nothing is written anywhere, every file is
 * read once and hashed as it is read. metadata.txt comes last, since it holds the hashes; its length is known before,
 * since a hash's length is.
 * In memory: path, size and times of each file, and its hash.
 * @param paths files and folders; `tree/sub/f` becomes `data/tree/sub/f`, see {@link tarName}
 * @throws PacificaError as {@link walk}
 */
export async function prepareBundle(
  paths: readonly string[],
  facts: BundleFacts,
  options: WalkOptions,
): Promise<Bundle> {
  const files = await walk(paths, options);
  const source = new BundleSource(files, facts);
  const layout = await TarLayout.of(source);
  return { size: layout.size, files: files.length, stream: () => chunksOf(layout) };
}

async function* chunksOf(layout: TarLayout): AsyncGenerator<Buffer> {
  const reader = layout.reader();
  try {
    yield* readChunks(reader);
  } finally {
    await reader.close();
  }
}

interface BundleEntry extends TarEntry {
  /** undefined for metadata.txt */
  readonly index?: number;
}

/** The files in batches, and metadata.txt in a last batch of its own. Good for one pass from front to back. */
class BundleSource implements TarSource<BundleEntry> {
  readonly batches: number;
  readonly #files: readonly FoundFile[];
  readonly #head: string;
  readonly #metadataSize: number;
  /** hash of each file in hex, as far as they are read */
  readonly #hashes: string[] = [];
  readonly #started = Math.floor(Date.now() / 1000);

  constructor(files: readonly FoundFile[], facts: BundleFacts) {
    this.#files = files;
    this.#head = headOf(facts);
    this.batches = Math.ceil(files.length / BATCH) + 1;
    const placeholder = '0'.repeat(HASH_DIGITS);
    let size = 0;
    for (const text of this.#metadata(() => placeholder)) size += Buffer.byteLength(text);
    this.#metadataSize = size;
  }

  async batch(batch: number): Promise<readonly BundleEntry[]> {
    if (batch === this.batches - 1) {
      return [{ path: METADATA, size: this.#metadataSize, mtime: this.#started, type: 'file' }];
    }
    return this.#files.slice(batch * BATCH, (batch + 1) * BATCH).map((file, offset) => {
      // an empty file is never opened, so this is where one that was filled meanwhile is noticed
      if (file.size === 0) checkUnchanged(file.path, file);
      const mtime = Math.floor(file.mtimeMs / 1000);
      return { path: `data/${file.member}`, size: file.size, mtime, type: 'file', index: batch * BATCH + offset };
    });
  }

  async open(entry: BundleEntry): Promise<RandomReader> {
    const { index } = entry;
    const file = index === undefined ? undefined : this.#files[index];
    if (index === undefined || file === undefined) {
      const empty = createHash(HASH_TYPE).digest('hex');
      return new TextReader(
        this.#metadataSize,
        this.#metadata((number) => this.#hashes[number] ?? empty),
      );
    }
    const hash = createHash(HASH_TYPE);
    return new HashingReader(SteadyFile.open(file.path, file), hash, (hex) => (this.#hashes[index] = hex));
  }

  /** metadata.txt, some entries at a time. */
  *#metadata(hashOf: (index: number) => string): Generator<string> {
    yield this.#head;
    for (let start = 0; start < this.#files.length; start += BATCH) {
      yield this.#files
        .slice(start, start + BATCH)
        .map((file, offset) => `,\n${JSON.stringify(fileEntry(file, hashOf(start + offset)))}`)
        .join('');
    }
    yield ']\n';
  }
}

/** The beginning of metadata.txt, up to the first file. */
function headOf({ project, instrument, submitter, keyValues }: BundleFacts): string {
  const entries = [
    { destinationTable: 'Transactions.submitter', value: numberOrText(submitter) },
    { destinationTable: 'Transactions.project', value: project },
    { destinationTable: 'Transactions.instrument', value: numberOrText(instrument) },
    ...keyValues.map(([key, value]) => ({ destinationTable: 'TransactionKeyValue', key, value })),
  ];
  return `[${entries.map((entry) => JSON.stringify(entry)).join(',\n')}`;
}

function fileEntry(file: FoundFile, hashsum: string): object {
  const slash = file.member.lastIndexOf('/') + 1;
  const name = file.member.slice(slash);
  return {
    destinationTable: 'Files',
    name,
    subdir: `data/${file.member.slice(0, slash)}`,
    size: file.size,
    mimetype: mimetypeOf(name),
    hashtype: HASH_TYPE,
    hashsum,
    ctime: isoTime(file.ctimeMs),
    mtime: isoTime(file.mtimeMs),
  };
}

/** Submitters and instruments are numbers in the metadata service, as far as a site did not name them otherwise. */
function numberOrText(text: string): number | string {
  return /^(?:0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : text;
}

/** ISO 8601 in UTC, whole seconds, without zone: the form of the metadata service. */
function isoTime(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', '');
}

/** Hashes a file that is read from front to back. */
class HashingReader implements RandomReader {
  readonly size: number;
  readonly #file: RandomReader;
  readonly #hash: Hash;
  readonly #done: (hex: string) => void;

  constructor(file: RandomReader, hash: Hash, done: (hex: string) => void) {
    this.size = file.size;
    this.#file = file;
    this.#hash = hash;
    this.#done = done;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const got = await this.#file.read(buffer, position);
    this.#hash.update(buffer.subarray(0, got));
    if (position + got === this.size) this.#done(this.#hash.digest('hex'));
    return got;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Text that is made piece by piece, and read from front to back. */
class TextReader implements RandomReader {
  readonly size: number;
  readonly #pieces: Iterator<string>;
  #rest: Uint8Array = new Uint8Array();

  constructor(size: number, pieces: Iterator<string>) {
    this.size = size;
    this.#pieces = pieces;
  }

  async read(buffer: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < buffer.length) {
      if (this.#rest.length === 0) {
        const piece = this.#pieces.next();
        if (piece.done === true) break;
        this.#rest = Buffer.from(piece.value);
      }
      const part = this.#rest.subarray(0, buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return filled;
  }

  async close(): Promise<void> {
    // nothing is open
  }
}

import { createHash, type Hash } from 'node:crypto';
import { hashReader } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
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

/** Metadata that somebody else wrote. */
export interface ReadyMetadata {
  /** name of the file it is from, for messages */
  readonly name: string;
  /** with `Files` entries, which then name every file of the bundle; or without, then these are made */
  readonly entries: readonly object[];
}

/** A body for the ingest service whose length is known before its first byte is read. */
export interface Bundle {
  /** bytes of the whole body */
  readonly size: number;
  /** number of files in it, undefined when it was made by somebody else */
  readonly files?: number;
  /** made of what is in it, path, size and time of each file: the same for a second run on the same files */
  readonly key: string;
  /** The tar, from its beginning each time. Throws `precondition` when a file changes while it is read. */
  stream(): AsyncIterable<Uint8Array>;
}

/** A bundle that is made here. */
export interface PreparedBundle extends Bundle {
  readonly files: number;
  /** The text of metadata.txt. Files are read for their hashes, where these are not known. */
  metadata(): AsyncIterable<Uint8Array>;
}

/**
 * Prepares a bundle (wire.md, ingest part) that is made while it is sent: nothing is written anywhere, every file is
 * read once and hashed as it is read. metadata.txt comes last, since it holds the hashes; its length is known before,
 * since a hash's length is.
 * Ready metadata that names the files comes first instead.
 * In memory: path, size and times of each file, and its hash.
 * @param paths files and folders; `tree/sub/f` becomes `data/tree/sub/f`, see {@link tarName}
 * @throws PacificaError as {@link walk}; `invalid` when ready metadata names other files than these
 */
export async function prepareBundle(
  paths: readonly string[],
  facts: BundleFacts | ReadyMetadata,
  options: WalkOptions,
): Promise<PreparedBundle> {
  const files = await walk(paths, options);
  const source = new BundleSource(files, documentOf(facts, files));
  const layout = await TarLayout.of(source);
  return {
    size: layout.size,
    files: files.length,
    key: source.key,
    stream: () => chunksOf(layout),
    metadata: () => source.metadata(options.signal),
  };
}

/** What stands in metadata.txt beside the files that are found, or all of it. */
interface MetadataText {
  /** its beginning, without the bracket that closes it; all of it when `whole` */
  readonly head: string;
  readonly whole: boolean;
}

function documentOf(facts: BundleFacts | ReadyMetadata, files: readonly FoundFile[]): MetadataText {
  if (!('entries' in facts)) return { head: headOf(entriesOf(facts)), whole: false };
  const whole = facts.entries.some(isFileEntry);
  if (whole) checkNamed(facts, files);
  return { head: headOf(facts.entries), whole };
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

/** The files in batches, and metadata.txt in a batch of its own. To be gone through from front to back. */
class BundleSource implements TarSource<BundleEntry> {
  readonly batches: number;
  readonly #files: readonly FoundFile[];
  readonly #document: MetadataText;
  readonly #metadataSize: number;
  /** hash of each file in hex, as far as they are read */
  readonly #hashes: string[] = [];
  readonly #started = Math.floor(Date.now() / 1000);

  constructor(files: readonly FoundFile[], document: MetadataText) {
    this.#files = files;
    this.#document = document;
    this.batches = Math.ceil(files.length / BATCH) + 1;
    const placeholder = '0'.repeat(HASH_DIGITS);
    let size = 0;
    for (const text of this.#metadata(() => placeholder)) size += Buffer.byteLength(text);
    this.#metadataSize = size;
  }

  /** The same for the same files with the same metadata. */
  get key(): string {
    const hash = createHash('sha256').update(this.#document.head);
    const lines = this.#files.map(({ member, size, mtimeMs }) => JSON.stringify([member, size, mtimeMs]));
    for (const line of lines.sort()) hash.update(`\n${line}`);
    return `pacifica-${hash.digest('hex')}`;
  }

  async *metadata(signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    if (!this.#document.whole) {
      for (const [index, file] of this.#files.entries()) {
        const reader = SteadyFile.open(file.path, file);
        try {
          this.#hashes[index] = await hashReader(reader, HASH_TYPE, { signal });
        } finally {
          await reader.close();
        }
      }
    }
    for (const text of this.#metadata((index) => this.#hashes[index] ?? '')) yield Buffer.from(text);
  }

  async batch(batch: number): Promise<readonly BundleEntry[]> {
    const { whole } = this.#document;
    if (batch === (whole ? 0 : this.batches - 1)) {
      return [{ path: METADATA, size: this.#metadataSize, mtime: this.#started, type: 'file' }];
    }
    const start = (whole ? batch - 1 : batch) * BATCH;
    return this.#files.slice(start, start + BATCH).map((file, offset) => {
      // an empty file is never opened, so this is where one that was filled meanwhile is noticed
      if (file.size === 0) checkUnchanged(file.path, file);
      const mtime = Math.floor(file.mtimeMs / 1000);
      return { path: `data/${file.member}`, size: file.size, mtime, type: 'file', index: start + offset };
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
    const reader = SteadyFile.open(file.path, file);
    if (this.#document.whole) return reader;
    return new HashingReader(reader, createHash(HASH_TYPE), (hex) => (this.#hashes[index] = hex));
  }

  /** metadata.txt, some entries at a time. */
  *#metadata(hashOf: (index: number) => string): Generator<string> {
    yield this.#document.head;
    for (let start = 0; start < this.#files.length && !this.#document.whole; start += BATCH) {
      yield this.#files
        .slice(start, start + BATCH)
        .map((file, offset) => `,\n${JSON.stringify(fileEntry(file, hashOf(start + offset)))}`)
        .join('');
    }
    yield ']\n';
  }
}

function entriesOf({ project, instrument, submitter, keyValues }: BundleFacts): object[] {
  return [
    { destinationTable: 'Transactions.submitter', value: numberOrText(submitter) },
    { destinationTable: 'Transactions.project', value: project },
    { destinationTable: 'Transactions.instrument', value: numberOrText(instrument) },
    ...keyValues.map(([key, value]) => ({ destinationTable: 'TransactionKeyValue', key, value })),
  ];
}

/** The beginning of metadata.txt, up to where more entries may come. */
function headOf(entries: readonly object[]): string {
  return `[${entries.map((entry) => JSON.stringify(entry)).join(',\n')}`;
}

function isFileEntry(entry: object): entry is { name?: unknown; subdir?: unknown } {
  return 'destinationTable' in entry && entry.destinationTable === 'Files';
}

/** @throws PacificaError `invalid` telling which files only one of the two has */
function checkNamed({ name, entries }: ReadyMetadata, files: readonly FoundFile[]): void {
  const named = new Set(entries.filter(isFileEntry).map(memberOf));
  const unnamed = files.filter(({ member }) => !named.delete(member));
  const [file] = unnamed;
  const [missing] = named;
  const where = { hint: `${name} has "Files" entries: these have to name the files that are sent, and no others` };
  if (file !== undefined)
    throw new PacificaError('invalid', `${name} does not name ${file.member}${more(unnamed.length)}`, where);
  if (missing !== undefined) {
    throw new PacificaError('invalid', `${name} names ${missing}${more(named.size)}, which is not sent`, where);
  }
}

function more(count: number): string {
  return count > 1 ? ` and ${count - 1} more` : '';
}

/** wire.md, ingest part: where the file of an entry lies below `data/`. */
function memberOf({ name, subdir }: { name?: unknown; subdir?: unknown }): string {
  const folders = (typeof subdir === 'string' ? subdir : '').split('/').filter((part) => part !== '' && part !== '.');
  return [...(folders[0] === 'data' ? folders.slice(1) : folders), String(name)].join('/');
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

/** Seconds of the first and the last time that have a year of four digits. */
const FIRST_SECOND = Date.parse('0001-01-01T00:00:00Z') / 1000;
const LAST_SECOND = Date.parse('9999-12-31T23:59:59Z') / 1000;

/**
 * ISO 8601 in UTC, whole seconds, without zone: the form of the metadata service. Some file systems keep times that this
 * form, or a Date, can not tell: of a file with a broken clock the nearest one is told.
 */
function isoTime(ms: number): string {
  const seconds = Math.min(Math.max(Math.floor(ms / 1000), FIRST_SECOND), LAST_SECOND);
  return new Date(seconds * 1000).toISOString().replace('.000Z', '');
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

import { hash } from 'node:crypto';
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { normalizeHash } from '../lib/digest.js';
import { messageOf, PacificaError } from '../lib/errors.js';
import { Problems } from '../lib/problems.js';
import { safePath, tidyPath } from '../lib/safe-path.js';
import type { MetadataDocument, MetadataEntry } from './catalog.js';
import { noteTransactionValue, REQUIRED } from './entries.js';
import { normalizeTime } from './times.js';

/** entries that are looked at before others get a turn */
const TURN = 1000;
/** characters of a key; as in the originals' table, and what an index of PostgreSQL takes */
const MAX_KEY = 255;

/**
 * Top-level types of IANA's registry (media-types), and `chemical`, which the type tables of Debian give to molecule files.
 */
const MEDIA_TYPES: ReadonlySet<string> = new Set([
  'application',
  'audio',
  'chemical',
  'example',
  'font',
  'haptics',
  'image',
  'message',
  'model',
  'multipart',
  'text',
  'video',
]);

/** Keys of a `Files` entry that are ours to say, not the uploader's. */
const OWN_KEYS: ReadonlySet<string> = new Set([
  'destinationTable',
  '_id',
  'name',
  'subdir',
  'size',
  'hashtype',
  'hashsum',
  'mimetype',
  'mtime',
  'ctime',
  'transaction',
  'created',
  'updated',
  'deleted',
]);

export interface FileRecord {
  /** undefined before ids were given out */
  readonly id: number | undefined;
  readonly name: string;
  readonly subdir: string;
  readonly size: number;
  readonly hashtype: string;
  readonly hashsum: string;
  readonly mimetype: string;
  /** undefined when the uploader did not say */
  readonly mtime: string | undefined;
  readonly ctime: string | undefined;
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

/** An entry of a metadata document, checked and brought to one form. */
export type MetadataRecord =
  | { readonly kind: 'file'; readonly file: FileRecord }
  | { readonly kind: 'keyValue'; readonly pair: KeyValue }
  /** `reference` is what `file_id` said: the file's id, or one of the uploader's own */
  | { readonly kind: 'fileKeyValue'; readonly pair: KeyValue; readonly reference: unknown }
  /** of the transaction itself */
  | { readonly kind: 'value' }
  /** of a table that we do not know */
  | { readonly kind: 'other'; readonly entry: MetadataEntry };

/** What a whole metadata document says, without its files and key/values. */
export interface TransactionSummary {
  /** undefined before it was given out */
  readonly id: number | undefined;
  readonly submitter: unknown;
  readonly project: unknown;
  readonly instrument: unknown;
  /** ids of its files, as far as they were given out */
  readonly fileIds: ReadonlySet<number>;
  /** name of a file without an id; undefined when all have one */
  readonly unnumbered: string | undefined;
  /** entries of tables that we do not know */
  readonly others: readonly MetadataEntry[];
}

/**
 * Checks every entry of a metadata document, and what holds for all of them together.
 * @param onEntry is given each of them
 * @throws PacificaError `invalid` naming every entry that is wrong (the first 100) and what is wrong with it
 */
export async function readTransaction(
  metadata: MetadataDocument,
  onEntry?: (entry: MetadataEntry) => void,
): Promise<TransactionSummary> {
  const fileIds = new Set<number>();
  const others: MetadataEntry[] = [];
  const seen = new Map<string, string>();
  const values = new Map<string, unknown>();
  let unnumbered: string | undefined;
  const problems = new Problems();
  const note = (entry: MetadataEntry, number: number): void => {
    const record = readRecord(entry, number);
    if (record.kind === 'other') others.push(entry);
    else if (record.kind === 'value') {
      requireSingle(entry, seen, labelOf(entry, number));
      noteTransactionValue(values, entry);
    } else if (record.kind === 'file') {
      const { id, name } = record.file;
      if (id === undefined) unnumbered ??= name;
      else if (fileIds.has(id)) throw new PacificaError('invalid', `two Files entries have the _id ${id}`);
      else fileIds.add(id);
    }
  };
  for await (const { entry, number } of numbered(metadata)) {
    onEntry?.(entry);
    problems.try(undefined, () => note(entry, number));
  }
  problems.throwIfAny();
  const [submitter, project, instrument] = REQUIRED.map((attribute) => values.get(attribute) ?? null);
  const id = values.get('_id');
  if (id !== undefined && !isId(id))
    throw new PacificaError('invalid', `Transactions._id ${show(id)} is not an integer`);
  return { id, submitter, project, instrument, fileIds, unnumbered, others };
}

/**
 * Reads a metadata document entry by entry.
 * @throws PacificaError `invalid` naming the entry and what is wrong with it
 */
export async function* readRecords(
  metadata: MetadataDocument,
): AsyncGenerator<{ entry: MetadataEntry; record: MetadataRecord }> {
  for await (const { entry, number } of numbered(metadata)) yield { entry, record: readRecord(entry, number) };
}

/** The entries with their numbers, from 1 as people and ingest count; others get a turn now and then. */
async function* numbered(metadata: MetadataDocument): AsyncGenerator<{ entry: MetadataEntry; number: number }> {
  let number = 0;
  for await (const entry of metadata) {
    number += 1;
    yield { entry, number };
    if (number % TURN === 0) await letOthersRun();
  }
}

function readRecord(entry: MetadataEntry, number: number): MetadataRecord {
  switch (entry.destinationTable) {
    case 'Files':
      return { kind: 'file', file: readFile(entry, number) };
    case 'TransactionKeyValue':
      return { kind: 'keyValue', pair: readKeyValue(entry, labelOf(entry, number)) };
    case 'FileKeyValue':
      return {
        kind: 'fileKeyValue',
        pair: readKeyValue(entry, labelOf(entry, number)),
        reference: entry.file_id,
      };
    default:
      return entry.destinationTable.startsWith('Transactions.') ? { kind: 'value' } : { kind: 'other', entry };
  }
}

function labelOf({ destinationTable }: MetadataEntry, number: number): string {
  return `metadata entry ${number} (${destinationTable})`;
}

function readFile(entry: MetadataEntry, number: number): FileRecord {
  const named = typeof entry.name === 'string' ? `, ${show(entry.name)}` : '';
  const where = `metadata entry ${number} (Files${named})`;
  const fault = (what: string, hint?: string): PacificaError =>
    new PacificaError('invalid', `${where}: ${what}`, { hint });
  const { name, subdir = '', size, hashtype, hashsum, mimetype } = entry;
  if (typeof name !== 'string' || name.includes('/')) throw fault(`name ${show(name)} is not a file name`);
  if (typeof subdir !== 'string') throw fault(`subdir ${show(subdir)} is not a folder`);
  if (!isId(size)) throw fault(`size ${show(size)} is not a number of bytes`);
  if (typeof mimetype !== 'string' || !isMediaType(mimetype)) {
    throw fault(`mimetype ${show(mimetype)} is not known`, 'use one like text/plain or application/octet-stream');
  }
  if (typeof hashtype !== 'string') throw fault(`hashtype ${show(hashtype)} is not known`);
  if (typeof hashsum !== 'string') throw fault(`hashsum ${show(hashsum)} is not a hash`);
  // a text may be the uploader's own temporary id; it is replaced before the file is stored
  if (typeof entry._id === 'number' && !isId(entry._id)) throw fault(`_id ${show(entry._id)} is not an integer`);
  const folder = tidyPath(subdir);
  try {
    const { type, sum } = normalizeHash(hashtype, hashsum);
    return {
      id: typeof entry._id === 'number' ? entry._id : undefined,
      name: safePath(name),
      subdir: folder === '' ? '' : safePath(folder),
      size,
      hashtype: type,
      hashsum: sum,
      mimetype,
      mtime: readTime(entry, 'mtime'),
      ctime: readTime(entry, 'ctime'),
      extra: extraOf(entry),
    };
  } catch (error) {
    throw fault(messageOf(error), error instanceof PacificaError ? error.hint : undefined);
  }
}

const NOTHING = {};

/** @returns what the uploader says of a file that we have no column for */
function extraOf(entry: MetadataEntry): Record<string, unknown> {
  const keys = Object.keys(entry).filter((key) => !OWN_KEYS.has(key));
  return keys.length === 0 ? NOTHING : Object.fromEntries(keys.map((key) => [key, entry[key]]));
}

function readTime(entry: MetadataEntry, key: 'mtime' | 'ctime'): string | undefined {
  const value = entry[key];
  if (value === undefined || value === null) return undefined;
  const time = normalizeTime(value);
  if (time === undefined) {
    throw new PacificaError('invalid', `${key} ${show(value)} is not a time`, {
      hint: 'write it like 2016-11-29T14:09:05',
    });
  }
  return time;
}

function readKeyValue(entry: MetadataEntry, where: string): KeyValue {
  const { key, value } = entry;
  if (typeof key !== 'string' || key === '' || key.length > MAX_KEY || key.includes('\0')) {
    throw new PacificaError('invalid', `${where}: key ${show(key)} is not 1 to ${MAX_KEY} characters`);
  }
  return { key, value: readScalar(value, where) };
}

function readScalar(value: unknown, where: string): string {
  if (typeof value === 'string' && !value.includes('\0')) return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value === null) return '';
  throw new PacificaError('invalid', `${where}: value ${show(value)} is not a text or a number`);
}

/** Which of two values counts would be anybody's guess. */
function requireSingle({ destinationTable, value }: MetadataEntry, seen: Map<string, string>, where: string): void {
  const text = readScalar(value, where);
  const before = seen.get(destinationTable);
  if (before !== undefined && before !== text) {
    throw new PacificaError('invalid', `${where}: there are two values, ${show(before)} and ${show(text)}`);
  }
  seen.set(destinationTable, text);
}

function isMediaType(mimetype: string): boolean {
  const [top = '', subtype = ''] = mimetype.toLowerCase().split('/', 2);
  return MEDIA_TYPES.has(top) && subtype !== '' && !mimetype.includes('\0');
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** Digest of what a document says: the same for the same entries in any order, with their keys in any order. */
export class DocumentDigest {
  // the sum of the entries' hashes: nothing has to be kept to be sorted
  #sum = 0n;

  add(entry: MetadataEntry): void {
    const sum = BigInt(`0x${hash('sha256', JSON.stringify(sorted(entry)))}`);
    this.#sum = BigInt.asUintN(256, this.#sum + sum);
  }

  toString(): string {
    return this.#sum.toString(16).padStart(64, '0');
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const given = value as Record<string, unknown>;
  const keys = Object.keys(given).sort();
  return Object.fromEntries(keys.map((key) => [key, sorted(given[key])]));
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArchiveId } from '../lib/archive-id.js';
import { type HashType, normalizeHash, parseHashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import { PathSet, safePath } from '../lib/safe-path.js';
import type { NewCartFile } from '../storage/database/carts.js';

/** What a client asks for with POST (wire.md, cart part). */
export interface CartRequest {
  /** undefined when the client does not say */
  readonly bundle: boolean | undefined;
  /** in the order of the tar */
  readonly files: readonly NewCartFile[];
}

/** files that are checked before others get their turn */
const TURN = 2000;
/** longest text that is taken for a hash; a sha512 has 128 */
const MAX_HASHSUM = 255;

/**
 * Checks a request. Unknown keys are ignored. A hashsum that is empty, or can be no hash of its type, is taken: such a
 * cart ends in `error`, as the documents have it.
 * @param body parsed JSON
 * @throws PacificaError `invalid` naming the field
 */
export async function parseCartRequest(body: unknown): Promise<CartRequest> {
  if (!isRecord(body)) throw wrong('the body', 'is not a JSON object', 'send {"fileids": [...]}');
  const { fileids, bundle } = body;
  if (bundle !== undefined && bundle !== null && typeof bundle !== 'boolean') {
    throw wrong('bundle', 'is not true or false');
  }
  if (!Array.isArray(fileids)) throw wrong('fileids', 'is not a list');
  if (fileids.length === 0) throw wrong('fileids', 'is empty', 'name at least one file');
  const paths = new PathSet();
  const files: NewCartFile[] = [];
  for (const [index, item] of fileids.entries()) {
    const file = parseFile(item as unknown, `fileids[${index}]`);
    named(`fileids[${index}].path`, () => paths.add(file.path));
    files.push(file);
    if (index % TURN === TURN - 1) await nextTurn();
  }
  return { bundle: bundle ?? undefined, files: inOrder(files) };
}

function parseFile(item: unknown, place: string): NewCartFile {
  if (!isRecord(item)) throw wrong(place, 'is not an object', 'a file is {"id", "path", "hashtype", "hashsum"}');
  const { id, path, hashtype, hashsum } = item;
  if (typeof id !== 'string' && typeof id !== 'number') throw wrong(`${place}.id`, 'is not a string or an integer');
  if (typeof path !== 'string') throw wrong(`${place}.path`, 'is not a string');
  if (typeof hashtype !== 'string') throw wrong(`${place}.hashtype`, 'is not a string');
  if (typeof hashsum !== 'string') throw wrong(`${place}.hashsum`, 'is not a string');
  if (hashsum.length > MAX_HASHSUM) throw wrong(`${place}.hashsum`, `is longer than ${MAX_HASHSUM} characters`);
  const type = named(`${place}.hashtype`, () => parseHashType(hashtype));
  return {
    archiveId: named(`${place}.id`, () => parseArchiveId(id)),
    path: named(`${place}.path`, () => safePath(path)),
    hashtype: type,
    hashsum: usableHash(type, hashsum) ?? hashsum.toLowerCase(),
  };
}

/** @returns the hash in lower-case hex, undefined when the text can be none of this type */
export function usableHash(type: HashType, hashsum: string): string | undefined {
  try {
    return normalizeHash(type, hashsum).sum;
  } catch {
    return undefined;
  }
}

/** A folder's files stand together, as a walk over folders finds them: so each folder needs one entry in the tar. */
function inOrder(files: readonly NewCartFile[]): NewCartFile[] {
  // no path contains NUL, which sorts before everything else
  const keyed = files.map((file) => ({ file, key: file.path.replaceAll('/', '\0') }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ file }) => file);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Runs a check of one field; its error then names the field. */
function named<T>(field: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof PacificaError)) throw error;
    throw new PacificaError('invalid', `${field}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function wrong(field: string, what: string, hint?: string): PacificaError {
  return new PacificaError('invalid', `${field} ${what}`, { hint });
}

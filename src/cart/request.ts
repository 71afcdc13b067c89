import { parseArchiveId } from '../lib/archive-id.js';
import { type HashType, normalizeHash, parseHashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import { readJsonList } from '../lib/json-list-reader.js';
import { PathSet } from '../lib/path-set.js';
import { safePath } from '../lib/safe-path.js';
import type { NewCartFile } from '../storage/database/cart-rows.js';

/** longest text that is taken for a hash; a sha512 has 128 */
const MAX_HASHSUM = 255;

/**
 * Reads what a client asks for with POST (wire.md, cart part), as it arrives. Unknown keys are ignored. A hashsum that is
 * empty, or can be no hash of its type, is taken: such a cart ends in `error`, as the documents have it.
 */
export class CartRequest {
  readonly #body: AsyncIterable<Uint8Array>;
  #bundle: boolean | undefined;

  /** @param body JSON */
  constructor(body: AsyncIterable<Uint8Array>) {
    this.#body = body;
  }

  /** undefined when the client does not say; known when all {@link files} were read */
  get bundle(): boolean | undefined {
    return this.#bundle;
  }

  /**
   * The files in the order of the request, some at a time, checked: each one, and against all before it.
   * @throws PacificaError `invalid` naming the field
   */
  async *files(): AsyncGenerator<NewCartFile[]> {
    const paths = new PathSet();
    let count = 0;
    let listed = false;
    for await (const part of readJsonList(this.#body, 'fileids')) {
      if ('items' in part) {
        if (listed && part.items.length === 0) throw wrong('fileids', 'is there twice');
        listed = true;
        const files = part.items.map((item, index) => parseFile(item, `fileids[${count + index}]`, paths));
        count += files.length;
        if (files.length > 0) yield files;
      } else if (part.key === 'fileids') {
        throw wrong('fileids', 'is not a list');
      } else if (part.key === 'bundle') {
        this.#bundle = parseBundle(part.value);
      }
    }
    if (!listed) throw wrong('fileids', 'is not a list');
    if (count === 0) throw wrong('fileids', 'is empty', 'name at least one file');
  }
}

function parseBundle(value: unknown): boolean | undefined {
  if (value === null) return undefined;
  if (typeof value !== 'boolean') throw wrong('bundle', 'is not true or false');
  return value;
}

function parseFile(item: unknown, place: string, paths: PathSet): NewCartFile {
  if (!isRecord(item)) throw wrong(place, 'is not an object', 'a file is {"id", "path", "hashtype", "hashsum"}');
  const { id, path, hashtype, hashsum } = item;
  if (typeof id !== 'string' && typeof id !== 'number') throw wrong(`${place}.id`, 'is not a string or an integer');
  if (typeof path !== 'string') throw wrong(`${place}.path`, 'is not a string');
  if (typeof hashtype !== 'string') throw wrong(`${place}.hashtype`, 'is not a string');
  if (typeof hashsum !== 'string') throw wrong(`${place}.hashsum`, 'is not a string');
  if (hashsum.length > MAX_HASHSUM) throw wrong(`${place}.hashsum`, `is longer than ${MAX_HASHSUM} characters`);
  const type = named(place, 'hashtype', () => parseHashType(hashtype));
  const archiveId = named(place, 'id', () => parseArchiveId(id));
  return named(place, 'path', () => {
    const clean = safePath(path);
    const newFolders = paths.add(clean);
    return {
      archiveId,
      path: clean,
      newFolders,
      hashtype: type,
      hashsum: usableHash(type, hashsum) ?? hashsum.toLowerCase(),
    };
  });
}

/** @returns the hash in lower-case hex, undefined when the text can be none of this type */
export function usableHash(type: HashType, hashsum: string): string | undefined {
  try {
    return normalizeHash(type, hashsum).sum;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Runs a check of one field; its error then names the field. */
function named<T>(place: string, field: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof PacificaError)) throw error;
    throw new PacificaError('invalid', `${place}.${field}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

function wrong(field: string, what: string, hint?: string): PacificaError {
  return new PacificaError('invalid', `${field} ${what}`, { hint });
}

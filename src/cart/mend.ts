import { join } from 'node:path';
import { createHasher, feedReader, parseHashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import { readChunks } from '../lib/random-reader.js';
import { readTar } from '../lib/tar/reader.js';
import type { Cart, CartFile, CartTables } from '../storage/database/carts.js';
import type { CartFolders } from './folders.js';

/** files a query */
const BATCH = 500;

/** Of a long look at carts. */
export interface Look {
  /** told of bytes when they were read */
  readonly onBytes?: (bytes: number) => void;
  /** told of each file that was looked at */
  readonly onFile?: () => void;
  /** ends the look */
  readonly signal?: AbortSignal;
}

/**
 * Checks what a cart has on disk against the hashes of its files. A look that is ended says what it has found so far.
 * @returns the places in the tar of what is missing or wrong; of a bundle that is not right, all of them
 */
export async function* findWrong(
  tables: CartTables,
  folders: CartFolders,
  cart: Cart,
  look: Look = {},
): AsyncGenerator<number> {
  try {
    yield* wrongFiles(tables, folders, cart, look);
  } catch (error) {
    if (look.signal?.aborted !== true) throw error;
  }
}

async function* wrongFiles(tables: CartTables, folders: CartFolders, cart: Cart, look: Look): AsyncGenerator<number> {
  const bundled = cart.bundle && (await folders.hasBundle(cart));
  if (bundled && (await bundleIsRight(tables, folders, cart, look))) return;
  for await (const file of allFiles(tables, cart)) {
    look.signal?.throwIfAborted();
    // a bundle that is not right was counted already
    const wrong = file.status === 'staged' && (bundled || !(await isRight(file, folders.data(cart), look)));
    if (!bundled) look.onFile?.();
    if (wrong) yield file.position;
  }
}

async function isRight(file: CartFile, folder: string, { onBytes, signal }: Look): Promise<boolean> {
  try {
    const reader = FileReader.open(join(folder, file.path), { follow: false });
    try {
      if (reader.size !== file.size) return false;
      const hasher = createHasher(parseHashType(file.hashtype));
      const take = (piece: Uint8Array): void => {
        hasher.update(piece);
        onBytes?.(piece.length);
      };
      await feedReader(reader, take, signal);
      return hasher.digest('hex') === file.hashsum;
    } finally {
      await reader.close();
    }
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

async function bundleIsRight(
  tables: CartTables,
  folders: CartFolders,
  cart: Cart,
  { onBytes, onFile, signal }: Look,
): Promise<boolean> {
  const files = allFiles(tables, cart);
  let reader: FileReader | undefined;
  try {
    reader = FileReader.open(folders.bundle(cart), { follow: false });
    for await (const { type, path, body } of readTar(readChunks(reader))) {
      if (type === 'directory') continue;
      const next = await files.next();
      if (next.done === true || path !== `${cart.uid}/${next.value.path}`) return false;
      const hasher = createHasher(parseHashType(next.value.hashtype));
      for await (const chunk of body) {
        signal?.throwIfAborted();
        hasher.update(chunk);
        onBytes?.(chunk.length);
      }
      onFile?.();
      if (hasher.digest('hex') !== next.value.hashsum) return false;
    }
    return (await files.next()).done === true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  } finally {
    await reader?.close();
  }
}

/** Missing, no file, cut, or no tar: what can be made good by bringing it again. */
function isDamage(error: unknown): boolean {
  return error instanceof PacificaError && ['not-found', 'invalid', 'integrity'].includes(error.code);
}

/** @returns all files of a cart, in the order of its tar */
export async function* allFiles(tables: CartTables, { id, filesTotal }: Cart): AsyncGenerator<CartFile> {
  for (let from = 0; from < filesTotal; from += BATCH) yield* await tables.files(id, from, BATCH);
}

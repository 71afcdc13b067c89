import { join } from 'node:path';
import { createHasher, hashReader, parseHashType } from '../lib/digest.js';
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
  /** told of each file that was read, and its bytes */
  readonly onFile?: (bytes: number) => void;
  /** ends the look after the file that is being read */
  readonly signal?: AbortSignal;
}

/**
 * Checks what a cart has on disk against the hashes of its files.
 * @returns the places in the tar of what is missing or wrong; of a bundle that is not right, all of them
 */
export async function* findWrong(
  tables: CartTables,
  folders: CartFolders,
  cart: Cart,
  { onFile, signal }: Look = {},
): AsyncGenerator<number> {
  const bundled = cart.bundle && (await folders.hasBundle(cart));
  if (bundled && (await bundleIsRight(tables, folders, cart, onFile))) return;
  for await (const file of allFiles(tables, cart)) {
    if (signal?.aborted === true) return;
    onFile?.(file.size ?? 0);
    if (file.status !== 'staged') continue;
    if (!(await isRight(file, join(folders.data(cart), file.path)))) yield file.position;
  }
}

async function isRight(file: CartFile, path: string): Promise<boolean> {
  try {
    const reader = FileReader.open(path, { follow: false });
    try {
      return reader.size === file.size && (await hashReader(reader, parseHashType(file.hashtype))) === file.hashsum;
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
  onFile: Look['onFile'],
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
      let size = 0;
      for await (const chunk of body) {
        hasher.update(chunk);
        size += chunk.length;
      }
      onFile?.(size);
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

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { messageOf, PacificaError, systemCode } from '../lib/errors.js';
import type { CartFile, CartTables, NewCartFile, ReadyCart } from '../storage/database/carts.js';
import {
  type Import,
  type ImportOptions,
  type OriginalCart,
  type OriginalTables,
  originalTime,
} from '../storage/database/originals.js';
import { CartFolders } from './folders.js';
import { parseCartUid } from './names.js';
import { CartRequest } from './request.js';

/**
 * Takes over the carts of an original cartd that are ready, with their numbers: their files stay where they are on the
 * volume, which both lay out alike. A cart that lacks a file, or whose number is another cart here, is left out.
 */
export async function importCarts(
  original: OriginalTables,
  { tables, volume }: { tables: CartTables; volume: string },
  { dryRun, onLeftOut }: ImportOptions,
): Promise<Import> {
  const folders = new CartFolders(volume);
  const result: Import = { imported: 0, present: 0, leftOut: 0 };
  for await (const batch of original.readyCarts()) {
    for (const cart of batch) {
      try {
        const here = await tables.find(parseCartUid(cart.uid));
        if (here !== undefined) {
          // the run that took it over may have been killed before the next line
          if (here.id === cart.id && !dryRun) await makeOurs(folders, cart);
          result.present += 1;
          continue;
        }
        if ((await tables.get(cart.id)) !== undefined) {
          throw new PacificaError('exists', `its number ${cart.id} is another cart here`);
        }
        const ready = await readyCart(original, folders, cart);
        if (!dryRun) {
          await tables.adopt(ready.cart, ready.files);
          await makeOurs(folders, cart);
        }
        result.imported += 1;
      } catch (error) {
        if (!(error instanceof PacificaError) || !['invalid', 'not-found', 'exists'].includes(error.code)) throw error;
        result.leftOut += 1;
        onLeftOut(`cart ${cart.uid}: ${messageOf(error)}`);
      }
    }
  }
  return result;
}

/** Marks the cart's folder. Only after its row is there: a folder of ours that has none is swept away. */
async function makeOurs(folders: CartFolders, cart: OriginalCart): Promise<void> {
  await folders.prepare(cart);
  folders.link(cart, cart.bundle ? 'bundle' : 'data');
}

/** @throws PacificaError `not-found` naming the file that is not on the volume, `invalid` for what no cart may hold */
async function readyCart(
  original: OriginalTables,
  folders: CartFolders,
  cart: OriginalCart,
): Promise<{ cart: ReadyCart; files: CartFile[] }> {
  // as if it was posted now: the same checks hold
  const body = Buffer.from(JSON.stringify({ fileids: await original.cartFiles(cart.id) }));
  const asked: NewCartFile[] = [];
  for await (const files of new CartRequest(Readable.from([body])).files()) asked.push(...files);
  const tar = cart.bundle ? await sizeOf(folders.bundle(cart)) : undefined;
  const files: CartFile[] = [];
  for (const [position, file] of asked.entries()) {
    // the files of a bundle may be gone: its tar is what is sent
    const found = await sizeOf(join(folders.data(cart), file.path)).catch((error: unknown) => {
      if (tar === undefined) throw error;
      return { size: null, mtime: null };
    });
    files.push({ ...file, ...found, position, status: 'staged', message: '' });
  }
  const bytes = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
  return {
    cart: {
      id: cart.id,
      uid: cart.uid,
      bundle: cart.bundle,
      created: originalTime(cart.created, ''),
      ready: originalTime(cart.updated, ''),
      bytes,
      occupied: bytes + (tar?.size ?? 0),
    },
    files,
  };
}

async function sizeOf(path: string): Promise<{ size: number; mtime: number }> {
  try {
    const { size, mtimeMs } = await stat(path);
    return { size, mtime: Math.floor(mtimeMs / 1000) };
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) {
      throw new PacificaError('not-found', `${path} is not there`, { cause: error });
    }
    throw error;
  }
}

import { join } from 'node:path';
import { PacificaError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import type { RandomReader } from '../lib/random-reader.js';
import type { TarEntry } from '../lib/tar/header.js';
import type { TarSource } from '../lib/tar/layout.js';
import type { Cart, CartFile, CartTables } from '../storage/database/carts.js';

/** files a batch: together in memory, one query */
const BATCH = 500;

/** An entry of a cart's tar; a file's has its path below the data folder. */
export type CartTarEntry = TarEntry & { readonly source: string };

/**
 * A staged cart as a tar: the top folder, then each folder before what is in it, in the order of the files' rows. The
 * same bytes each time: folders have the time at which the cart became ready.
 */
export class CartTar implements TarSource<CartTarEntry> {
  readonly batches: number;
  readonly #tables: CartTables;
  readonly #id: number;
  readonly #folder: string;
  readonly #top: string;
  readonly #mtime: number;

  /**
   * @param folder the cart's data folder
   * @param top name of the top folder
   * @param readyMs time of the folders, ms since 1970
   */
  constructor(
    tables: CartTables,
    cart: Pick<Cart, 'id' | 'filesTotal'>,
    { folder, top, readyMs }: { folder: string; top: string; readyMs: number },
  ) {
    this.batches = Math.ceil(cart.filesTotal / BATCH);
    this.#tables = tables;
    this.#id = cart.id;
    this.#folder = folder;
    this.#top = top;
    this.#mtime = Math.floor(readyMs / 1000);
  }

  async batch(index: number): Promise<CartTarEntry[]> {
    const from = index * BATCH;
    // with the file before it, which tells the folders that are there already
    const files = await this.#tables.files(this.#id, Math.max(0, from - 1), from === 0 ? BATCH : BATCH + 1);
    let previous = from === 0 ? undefined : files.shift();
    const entries: CartTarEntry[] = previous === undefined ? [this.#directory('')] : [];
    for (const file of files) {
      for (const folder of newFolders(previous?.path, file.path)) entries.push(this.#directory(folder));
      entries.push(this.#file(file));
      previous = file;
    }
    return entries;
  }

  async open({ source }: CartTarEntry): Promise<RandomReader> {
    return FileReader.open(join(this.#folder, source), { follow: false });
  }

  #directory(path: string): CartTarEntry {
    const name = path === '' ? this.#top : `${this.#top}/${path}`;
    return { path: name, size: 0, mtime: this.#mtime, type: 'directory', source: path };
  }

  #file({ path, size, mtime }: CartFile): CartTarEntry {
    if (size === null || mtime === null) throw new PacificaError('internal', `cart ${this.#id}: ${path} is not staged`);
    return { path: `${this.#top}/${path}`, size, mtime, type: 'file', source: path };
  }
}

/**
 * @param previous path of the file before it, in an order where the files of a folder stand together
 * @returns folders of `path` that `previous` does not lie in, outermost first
 */
export function newFolders(previous: string | undefined, path: string): string[] {
  const folders: string[] = [];
  for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
    if (previous?.startsWith(path.slice(0, end + 1)) !== true) folders.push(path.slice(0, end));
  }
  return folders;
}

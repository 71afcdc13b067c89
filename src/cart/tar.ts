import { PacificaError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import type { TarEntry } from '../lib/tar/header.js';
import type { TarSource } from '../lib/tar/layout.js';
import type { Cart, CartFile, CartTables } from '../storage/database/carts.js';

/** files a batch: together in memory, one query */
const BATCH = 500;
const NO_LINK = { follow: false };

/** An entry of a cart's tar; a file's has its path below the data folder. */
export type CartTarEntry = TarEntry & { readonly source: string };

/**
 * A staged cart as a tar: the top folder, then the files in the order in which they were posted, each folder right before
 * the first file that lies in it. The
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
    const entries: CartTarEntry[] = index === 0 ? [this.#directory('')] : [];
    for (const file of await this.#tables.files(this.#id, index * BATCH, BATCH)) {
      for (const folder of newFolders(file)) entries.push(this.#directory(folder));
      entries.push(this.#file(file));
    }
    return entries;
  }

  openAtOnce({ source }: CartTarEntry): FileReader | undefined {
    return FileReader.openAtOnce(`${this.#folder}/${source}`, NO_LINK);
  }

  open({ source }: CartTarEntry): Promise<FileReader> {
    return FileReader.openPatiently(`${this.#folder}/${source}`, NO_LINK);
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

/** @returns folders of a file that no file before it in the tar lies in, outermost first */
export function newFolders({ path, newFolders: count }: Pick<CartFile, 'path' | 'newFolders'>): string[] {
  const folders: string[] = [];
  for (let end = path.lastIndexOf('/'); folders.length < count; end = path.lastIndexOf('/', end - 1)) {
    folders.unshift(path.slice(0, end));
  }
  return folders;
}

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { readdir, readFile, readlink, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FolderSyncer, syncFolder } from '../lib/durable-write.js';
import { systemCode, wrapSystemError } from '../lib/errors.js';
import type { Cart } from '../storage/database/carts.js';

/** folders that are synced at a time */
const SYNCED_AT_ONCE = 32;

/** Which cart: its folder is named by both. */
export type CartPlace = Pick<Cart, 'id' | 'uid'>;

/**
 * The carts' folders on the volume, laid out as the originals do (wire.md, last part):
 * `<volume>/<cart.id>/<uid>/<path>`, a bundle `<volume>/<cart.id>/<uid>.tar`, and the symbolic link
 * `<volume>/cartuids/<uid>` to either. Names of our own begin with `@`, which no uid has.
 */
export class CartFolders {
  readonly volume: string;
  readonly #links: string;
  /** of folders that all carts share */
  readonly #syncer = new FolderSyncer();

  constructor(volume: string) {
    this.volume = volume;
    this.#links = join(volume, 'cartuids');
  }

  /** @returns the folder that holds the cart's files */
  data({ id, uid }: CartPlace): string {
    return join(this.#home(id), uid);
  }

  /** @returns the tar of a bundled cart */
  bundle(place: CartPlace): string {
    return `${this.data(place)}.tar`;
  }

  /** @returns the folder for what a run has not finished */
  scratch({ id }: CartPlace, runId: string): string {
    return join(this.#home(id), `@run-${runId}`);
  }

  #home(id: number): string {
    return join(this.volume, String(id));
  }

  #marker(id: number): string {
    return join(this.#home(id), '@cart');
  }

  /** Makes the cart's folder, and removes what runs before left unfinished. */
  async prepare(place: CartPlace): Promise<void> {
    await this.#doing(`can not make the folder of cart ${place.id}`, async () => {
      const isNew = mkdirSync(this.data(place), { recursive: true }) !== undefined;
      // tells our folders from those of others on the same volume
      writeFileSync(this.#marker(place.id), place.uid);
      if (!isNew) await this.#removeScratch(place.id);
    });
  }

  /** Removes what a run left unfinished. Nothing to do when its folder was never made. */
  async removeScratch(place: CartPlace, runId: string): Promise<void> {
    const scratch = this.scratch(place, runId);
    if (existsSync(scratch)) await rm(scratch, { recursive: true, force: true });
  }

  async #removeScratch(id: number): Promise<void> {
    for (const name of await readdir(this.#home(id))) {
      if (name.startsWith('@run-')) await rm(join(this.#home(id), name), { recursive: true, force: true });
    }
  }

  /** Makes every folder of the cart, and the way to it, survive a power cut. @param folders paths below the data folder */
  async sync(place: CartPlace, folders: AsyncIterable<string>): Promise<void> {
    const data = this.data(place);
    await this.#doing(`can not save the folders of cart ${place.id}`, async () => {
      let some: string[] = [data, this.#home(place.id)];
      for await (const folder of folders) {
        if (some.push(join(data, folder)) < SYNCED_AT_ONCE) continue;
        await Promise.all(some.map(syncFolder));
        some = [];
      }
      await Promise.all([...some.map(syncFolder), this.#syncer.sync(this.volume)]);
    });
  }

  /**
   * Lets the symbolic link of the uid lead to this cart, from one moment to the next. Durable after {@link syncLinks}.
   * Quick, since others wait for the transaction in which it is done.
   */
  link(place: CartPlace, to: 'data' | 'bundle'): void {
    try {
      const name = to === 'data' ? place.uid : `${place.uid}.tar`;
      const fresh = join(this.#links, `@${randomUUID()}`);
      mkdirSync(this.#links, { recursive: true });
      symlinkSync(`../${place.id}/${name}`, fresh);
      renameSync(fresh, join(this.#links, place.uid));
    } catch (error) {
      throw wrapSystemError(error, `can not link cart ${place.id}`);
    }
  }

  /** Makes the links survive a power cut. */
  async syncLinks(): Promise<void> {
    await this.#doing('can not save the links of carts', () => this.#syncer.sync(this.#links));
  }

  /** @returns whether the tar is there: it gets its name when it is whole */
  async hasBundle(place: CartPlace): Promise<boolean> {
    return exists(this.bundle(place));
  }

  /** Removes all that a cart has on the volume, and nothing of others. Nothing to do when it has nothing. */
  async remove(place: CartPlace): Promise<void> {
    const home = this.#home(place.id);
    const link = join(this.#links, place.uid);
    await this.#doing(`can not remove the folder of cart ${place.id}`, async () => {
      const target = await readlink(link).catch(() => '');
      if (target.startsWith(`../${place.id}/`)) await rm(link, { force: true });
      await this.removeBundle(place);
      await rm(this.data(place), { recursive: true, force: true });
      if (!(await exists(home))) return;
      await this.#removeScratch(place.id);
      await rm(this.#marker(place.id), { force: true });
      await rmdir(home).catch((error: unknown) => {
        // ENOTEMPTY: somebody else's files, they stay
        if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) throw error;
      });
    });
  }

  /** Removes the tar of a bundled cart. Nothing to do when there is none. */
  async removeBundle(place: CartPlace): Promise<void> {
    await rm(this.bundle(place), { force: true });
  }

  /** Removes the files of a bundled cart; its tar stays. */
  async removeData(place: CartPlace): Promise<void> {
    await rm(this.data(place), { recursive: true, force: true });
  }

  /** @returns the carts that have a folder of ours on the volume */
  async *all(): AsyncGenerator<CartPlace> {
    const names = await readdir(this.volume).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return [];
      throw wrapSystemError(error, `can not read ${this.volume}`);
    });
    for (const name of names) {
      if (!/^[1-9][0-9]*$/.test(name)) continue;
      const id = Number(name);
      const uid = await readFile(this.#marker(id), 'utf8').catch(() => '');
      if (uid !== '') yield { id, uid };
    }
  }

  async #doing(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw wrapSystemError(error, what);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

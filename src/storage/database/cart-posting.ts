import type { Transaction } from 'sequelize';
import type { Cart, NewCartFile } from './cart-rows.js';

/** rows that are inserted in one transaction: others who write wait no longer than for these */
const TRANSACTION_ROWS = 5000;

/** What is known of a cart when it is posted. */
export type PostedCart = Pick<Cart, 'uid' | 'bundle' | 'bundleAsked' | 'filesTotal'> & {
  /** ms since 1970; null while its files are still coming */
  readonly posted: number | null;
};

/** What it needs of the tables. */
export interface PostingTables {
  write<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
  insertCart(cart: PostedCart, transaction: Transaction): Promise<number>;
  insertFiles(id: number, first: number, files: readonly NewCartFile[], transaction: Transaction): Promise<void>;
  replace(uid: string, transaction: Transaction): Promise<number[]>;
  complete(id: number, cart: PostedCart, transaction: Transaction): Promise<void>;
  forget(id: number): Promise<void>;
}

/**
 * A cart on its way into the tables. Seen by nobody, and removed by the sweep when its process dies, until it is
 * finished. A small one is stored in one transaction.
 */
export class CartPosting {
  readonly #uid: string;
  readonly #tables: PostingTables;
  #id: number | undefined;
  #stored = 0;
  #waiting: NewCartFile[] = [];

  constructor(uid: string, tables: PostingTables) {
    this.#uid = uid;
    this.#tables = tables;
  }

  /** Takes the next files, in the order of the tar. */
  async add(files: readonly NewCartFile[]): Promise<void> {
    for (const file of files) this.#waiting.push(file);
    while (this.#waiting.length > TRANSACTION_ROWS) {
      const batch = this.#waiting.splice(0, TRANSACTION_ROWS);
      this.#id = await this.#tables.write(async (transaction) => {
        const coming = { uid: this.#uid, bundle: false, bundleAsked: false, filesTotal: 0, posted: null };
        const id = this.#id ?? (await this.#tables.insertCart(coming, transaction));
        await this.#tables.insertFiles(id, this.#stored, batch, transaction);
        return id;
      });
      this.#stored += batch.length;
    }
  }

  /**
   * Lets the cart be seen, `waiting`; from then on the uid's older carts are deleted.
   * @returns the cart's id, and those of the carts that it took the place of
   */
  async finish(cart: Pick<Cart, 'bundle' | 'bundleAsked'>): Promise<{ id: number; replaced: number[] }> {
    const filesTotal = this.#stored + this.#waiting.length;
    return this.#tables.write(async (transaction) => {
      const posted = { ...cart, uid: this.#uid, filesTotal, posted: Date.now() };
      const replaced = await this.#tables.replace(this.#uid, transaction);
      const id = this.#id ?? (await this.#tables.insertCart(posted, transaction));
      if (this.#id !== undefined) await this.#tables.complete(id, posted, transaction);
      await this.#tables.insertFiles(id, this.#stored, this.#waiting, transaction);
      return { id, replaced };
    });
  }

  /** Takes back what was stored. Not after {@link finish}. */
  async discard(): Promise<void> {
    if (this.#id !== undefined) await this.#tables.forget(this.#id);
  }
}

import { statfs } from 'node:fs/promises';
import { PacificaError } from '../lib/errors.js';
import { Slots } from '../lib/slots.js';
import type { Cart, CartTables } from '../storage/database/carts.js';

/** wire.md, cart part */
export const NO_SPACE = 'No Space Available';

export interface SpaceOptions {
  /** folder on the volume */
  readonly volume: string;
  /** ms since its last use that a cart is safe from making room for another */
  readonly lruBufferTimeMs: number;
  /** whether carts are deleted to make room */
  readonly lruPurge: boolean;
  /** removes what deleted carts still have on the volume */
  readonly removeDeleted: () => Promise<unknown>;
}

/**
 * Room on the volume. What a cart is going to write is reserved in the database first, so that carts which are staged at
 * the same time, in whatever process, never overfill it together. When there is too little, the least recently used
 * carts go: never one that is being downloaded, and none at all when that would not be enough.
 */
export class Space {
  readonly #tables: CartTables;
  readonly #options: SpaceOptions;
  readonly #turns = new Slots(1);

  constructor(tables: CartTables, options: SpaceOptions) {
    this.#tables = tables;
    this.#options = options;
  }

  /**
   * @param bytes that the cart still has to write, all together
   * @throws PacificaError `no-space`; `aborted` when the cart is another run's
   */
  async reserve(cart: Pick<Cart, 'id'>, runId: string, bytes: number): Promise<void> {
    if (bytes === 0) return;
    await this.#turns.run(async () => {
      const short = (): Promise<number> => this.#tables.reserve(cart.id, runId, bytes, () => this.#free());
      if ((await short()) === 0) return;
      await this.#options.removeDeleted();
      for (let missing = await short(); missing > 0; missing = await short()) {
        await this.#makeRoom(missing);
      }
    });
  }

  async #free(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#options.volume);
    return bavail * bsize;
  }

  async #makeRoom(bytes: number): Promise<void> {
    let deleted = 0;
    for (const cart of await this.#victims(bytes)) {
      if (await this.#tables.deleteIdle(cart)) deleted += 1;
    }
    if (deleted === 0) throw new PacificaError('no-space', NO_SPACE);
    await this.#options.removeDeleted();
  }

  /** @returns the carts that have to go; none when all of them together would not do */
  async #victims(bytes: number): Promise<Cart[]> {
    const { lruPurge, lruBufferTimeMs } = this.#options;
    if (!lruPurge) return [];
    const before = Date.now() - lruBufferTimeMs;
    for (let limit = 100; ; limit *= 10) {
      const carts = await this.#tables.leastRecentlyUsed(before, limit);
      let occupied = 0;
      const enough = carts.findIndex((cart) => (occupied += cart.occupied) >= bytes);
      if (enough !== -1) return carts.slice(0, enough + 1);
      if (carts.length < limit) return [];
    }
  }
}

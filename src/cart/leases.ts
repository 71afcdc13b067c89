import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { Slots } from '../lib/slots.js';
import { processMark } from '../lib/process-mark.js';
import type { CartTables } from '../storage/database/carts.js';

/** ms that a lease lasts when the machine that its process runs on dies */
const LIFETIME = 60_000;

interface Held {
  readonly turns: Slots;
  /** downloads under way */
  count: number;
  /** downloads under way, coming or going */
  users: number;
}

/**
 * Tells all processes which carts this one is sending, so that none of them takes the files away. One lease a cart,
 * whatever the number of its downloads here; renewed while there are any.
 */
export class Leases {
  readonly #tables: CartTables;
  readonly #log: Logger;
  readonly #owner = `${processMark()}/${randomUUID()}`;
  readonly #held = new Map<number, Held>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tables: CartTables, log: Logger) {
    this.#tables = tables;
    this.#log = log;
  }

  /** @returns false when the cart is not there to be downloaded; else call {@link give} when the download has ended */
  async take(cartId: number): Promise<boolean> {
    const taken = await this.#withTurn(cartId, async (held) => {
      if (held.count === 0 && !(await this.#tables.lease(cartId, this.#owner, Date.now() + LIFETIME))) return false;
      held.count += 1;
      return true;
    });
    if (taken) this.#timer ??= setInterval(() => void this.#renew(), LIFETIME / 3).unref();
    return taken;
  }

  async give(cartId: number): Promise<void> {
    await this.#withTurn(cartId, async (held) => {
      held.count -= 1;
      if (held.count === 0) await this.#tables.release(cartId, this.#owner);
    });
    if (this.#held.size === 0) this.close();
  }

  /** Stops renewing. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #withTurn<T>(cartId: number, work: (held: Held) => Promise<T>): Promise<T> {
    const held = this.#held.get(cartId) ?? { turns: new Slots(1), count: 0, users: 0 };
    this.#held.set(cartId, held);
    held.users += 1;
    try {
      return await held.turns.run(() => work(held));
    } finally {
      held.users -= 1;
      if (held.users === 0 && held.count === 0) this.#held.delete(cartId);
    }
  }

  async #renew(): Promise<void> {
    try {
      await this.#tables.renew(this.#owner, Date.now() + LIFETIME);
    } catch (error) {
      this.#log.error({ err: error }, 'the leases of carts that are being downloaded could not be renewed');
    }
  }
}

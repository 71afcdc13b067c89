import { Slots } from '../lib/slots.js';
import type { Cart, CartChanges, CartFile, CartTables } from '../storage/database/carts.js';

/** ms between two writes of what a run got done; a crash loses no more than that */
const INTERVAL = 1000;
/** files that wait to be written before the run has to */
const MOST_FILES = 1000;

/**
 * What a run gets done, written to its cart's rows every second: progress for those who wait, and for the next run after
 * a crash. Each write is fenced by the run id, so a run notices within a second when its cart is no longer its own.
 */
export class Journal {
  readonly #tables: CartTables;
  readonly #cart: Pick<Cart, 'id'>;
  readonly #runId: string;
  readonly #progress: () => CartChanges;
  readonly #writes = new Slots(1);
  readonly #timer: NodeJS.Timeout;
  readonly #onFailure: (error: unknown) => void;
  #writing: Promise<void> | undefined;
  /** by position: the last word on each */
  readonly #changed = new Map<number, CartFile>();

  /**
   * @param progress asked for the cart's counters at each write
   * @param onFailure called when a write in between fails: the run has to stop
   */
  constructor(
    tables: CartTables,
    cart: Pick<Cart, 'id'>,
    runId: string,
    progress: () => CartChanges,
    onFailure: (error: unknown) => void,
  ) {
    this.#tables = tables;
    this.#cart = cart;
    this.#runId = runId;
    this.#progress = progress;
    this.#onFailure = onFailure;
    this.#timer = setInterval(() => void this.write().catch(onFailure), INTERVAL);
  }

  /** Notes a file that changed. Many are written while more are noted; throws what that threw. */
  async note(file: CartFile): Promise<void> {
    this.#changed.set(file.position, file);
    if (this.#changed.size < MOST_FILES) return;
    await this.#writing;
    if (this.#changed.size < MOST_FILES) return;
    this.#writing = this.write();
    // heard at the next one, or by the run
    this.#writing.catch(this.#onFailure);
  }

  /**
   * Writes what was noted.
   * @param changes of the cart, beside its counters
   * @param inside as in {@link CartTables.journal}
   */
  async write(changes: CartChanges = {}, inside?: () => Promise<void>): Promise<void> {
    await this.#writes.run(async () => {
      const files = [...this.#changed.values()];
      this.#changed.clear();
      await this.#tables.journal(this.#cart.id, this.#runId, { ...this.#progress(), ...changes }, files, inside);
    });
  }

  /** Ends the writing in between; waits for one under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writes.run(async () => undefined);
  }
}

import type { ArchiveId } from '../lib/archive-id.js';

/** Lets one change of a file become visible at a time, in this process. */
export class IdLocks {
  readonly #tails = new Map<ArchiveId, Promise<void>>();

  /**
   * Waits until nobody else holds the id.
   * @returns what to call when the change is done
   */
  async acquire(id: ArchiveId): Promise<() => void> {
    const before = this.#tails.get(id);
    let release: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => (release = resolve));
    this.#tails.set(id, mine);
    await before;
    return () => {
      if (this.#tails.get(id) === mine) this.#tails.delete(id);
      release();
    };
  }
}

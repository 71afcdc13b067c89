import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * What may pass in one turn of the event loop, of all transfers of a sort together: sockets have, and take, some MiB each
 * at once, and everybody else waits for as long as that takes.
 */
export class Turn {
  readonly #limit: number;
  #passed = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Waits for a turn that has room. Ask {@link hasRoom} first: it mostly has, and this costs a promise. */
  async room(): Promise<void> {
    while (!this.hasRoom) await nextTurn();
  }

  get hasRoom(): boolean {
    return this.#passed < this.#limit;
  }

  /** Counts bytes that pass now. */
  pass(bytes: number): void {
    // before those who wait for the next turn
    if (this.#passed === 0) setImmediate(() => (this.#passed = 0));
    this.#passed += bytes;
  }
}

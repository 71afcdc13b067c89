/**
 * What may pass in one turn of the event loop, of all transfers of a sort together: sockets have, and take, some MiB each
 * at once, and everybody else waits for as long as that takes. Who waits comes in the order of asking.
 */
export class Turn {
  readonly #limit: number;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];
  #passed = 0;

  /** @param limit bytes; a piece that is larger passes as the first one of a turn */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Asks to let bytes pass; they count from now on.
   * @param bytes more than 0
   * @returns undefined where they may at once, else what resolves when they may: mostly there is room, and a promise costs
   */
  take(bytes: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#passed < this.#limit) {
      this.#pass(bytes);
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push({ bytes, go: resolve }));
  }

  #pass(bytes: number): void {
    if (this.#passed === 0) setImmediate(() => this.#begin());
    this.#passed += bytes;
  }

  #begin(): void {
    this.#passed = 0;
    while (this.#passed < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#pass(next.bytes);
      next.go();
    }
  }
}

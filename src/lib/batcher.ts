/**
 * Does together what many callers ask for at about the same time: while one batch is worked on the next one gathers.
 * Under load that makes few large batches, without it nobody waits.
 */
export class Batcher<T> {
  readonly #work: (items: T[]) => Promise<void>;
  readonly #limit: number;
  #waiting: { item: T; done: () => void; failed: (error: unknown) => void }[] = [];
  #running: Promise<void> | undefined;

  /**
   * @param work does a whole batch, or fails as a whole
   * @param limit items a batch at most
   */
  constructor(work: (items: T[]) => Promise<void>, limit: number) {
    this.#work = work;
    this.#limit = limit;
  }

  /** Resolves when the batch with this item is done; rejects with what `work` threw for it. */
  add(item: T): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ item, done, failed });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when all that was asked for is done, or has failed. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // those who ask in the same turn of the event loop come along
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#limit);
      try {
        await this.#work(batch.map(({ item }) => item));
        batch.forEach(({ done }) => done());
      } catch (error) {
        batch.forEach(({ failed }) => failed(error));
      }
    }
    this.#running = undefined;
  }
}

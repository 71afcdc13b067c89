/** Hands pieces over to somebody who reads them as a stream, one at a time: {@link push} waits until it was used. */
export class Feed implements AsyncIterable<Uint8Array> {
  #piece: Uint8Array | undefined;
  #ended = false;
  #wake: () => void = () => undefined;
  #used: () => void = () => undefined;
  readonly #reader: Promise<void>;
  #failure: { error: unknown } | undefined;

  /** @param read reads all that is pushed; when it throws, whoever pushes is told */
  constructor(read: (pieces: AsyncIterable<Uint8Array>) => Promise<void>) {
    this.#reader = read(this).catch((error: unknown) => {
      this.#failure = { error };
      this.#used();
    });
  }

  /** @throws what the reader threw */
  async push(piece: Uint8Array): Promise<void> {
    if (this.#failure === undefined) {
      const used = new Promise<void>((resolve) => (this.#used = resolve));
      this.#piece = piece;
      this.#wake();
      await used;
    }
    this.#check();
  }

  /** Tells the reader that this was all, and waits for it. @throws what the reader threw */
  async end(): Promise<void> {
    this.#ended = true;
    this.#wake();
    await this.#reader;
    this.#check();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.#piece;
      if (piece !== undefined) {
        yield piece;
        this.#piece = undefined;
        this.#used();
      } else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

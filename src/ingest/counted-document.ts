import type { MetadataEntry } from '../catalog/catalog.js';

/** A metadata document that tells how far those are who go through it. */
export class CountedDocument implements AsyncIterable<MetadataEntry> {
  readonly #open: () => AsyncIterable<MetadataEntry>;
  readonly #total: number;
  readonly #onPart: (part: number) => void;
  #read = 0;

  /**
   * @param open begins to go through it
   * @param work.entries number of its entries
   * @param work.rounds how often it is gone through
   * @param onPart is told how much of all rounds is done, 0 to 1
   */
  constructor(
    open: () => AsyncIterable<MetadataEntry>,
    { entries, rounds }: { entries: number; rounds: number },
    onPart: (part: number) => void,
  ) {
    this.#open = open;
    this.#total = Math.max(1, entries * rounds);
    this.#onPart = onPart;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MetadataEntry> {
    for await (const entry of this.#open()) {
      yield entry;
      this.#read += 1;
      this.#onPart(Math.min(1, this.#read / this.#total));
    }
  }
}

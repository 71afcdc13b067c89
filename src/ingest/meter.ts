import type { RandomReader } from '../lib/random-reader.js';
import type { Claim } from './claim.js';

/** what a file counts beside its bytes: many small files take time too */
const PER_FILE = 4096;

/** Tells how far a part of a task is, by files and bytes. */
export class Meter {
  readonly #claim: Claim;
  readonly #from: number;
  readonly #to: number;
  readonly #total: number;
  #done = 0;

  /** @param from, to percent of the task at the beginning and the end of this part */
  constructor(claim: Claim, [from, to]: readonly [from: number, to: number], work: { files: number; bytes: number }) {
    this.#claim = claim;
    this.#from = from;
    this.#to = to;
    this.#total = Math.max(1, work.files * PER_FILE + work.bytes);
  }

  /** Counts a file whose bytes may have to be copied or sent, while they are. @param work is given whom to tell of them */
  async transfer(size: number, work: (onBytes: (bytes: number) => void) => Promise<void>): Promise<void> {
    let counted = 0;
    await work((bytes) => {
      counted += bytes;
      this.#add(bytes);
    });
    this.file(size - counted);
  }

  /** Counts a file, with its bytes unless these were counted by {@link reader}. */
  file(bytes: number): void {
    this.#add(PER_FILE + bytes);
  }

  /** @returns a reader of which every byte that is read is counted */
  reader(reader: RandomReader): RandomReader {
    return {
      size: reader.size,
      read: async (buffer, position) => {
        const got = await reader.read(buffer, position);
        this.#add(got);
        return got;
      },
      close: () => reader.close(),
    };
  }

  #add(amount: number): void {
    this.#done += amount;
    this.#claim.percent(this.#from + ((this.#to - this.#from) * this.#done) / this.#total);
  }
}

import { type Checksum, type ChecksumTaker, type ChecksumType, takeChecksum } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';

/** Takes checksums of a body while it passes, all in one go. */
export class BodyChecks {
  readonly #takers: ReadonlyMap<ChecksumType, ChecksumTaker>;
  #sums: ReadonlyMap<ChecksumType, string> = new Map();

  constructor(types: Iterable<ChecksumType>) {
    this.#takers = new Map([...new Set(types)].map((type) => [type, takeChecksum(type)]));
  }

  /** Passes a body on. */
  async *watch(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of body) {
      for (const taker of this.#takers.values()) taker.update(piece);
      yield piece;
    }
  }

  /**
   * All of the body has passed.
   * @param expected what its sender says of it
   * @throws PacificaError `integrity` when something else came
   */
  compare(expected: readonly Checksum[]): void {
    this.#sums = new Map([...this.#takers].map(([type, taker]) => [type, taker.digest()]));
    for (const { type, sum } of expected) {
      const got = this.#sums.get(type);
      if (got !== sum) {
        throw new PacificaError(
          'integrity',
          `the bytes that came have the ${type} ${got ?? ''}, ${sum} was announced`,
          {
            hint: 'send the file again',
          },
        );
      }
    }
  }

  /** @returns what was taken, after {@link compare} */
  taken(type: ChecksumType): Checksum | undefined {
    const sum = this.#sums.get(type);
    return sum === undefined ? undefined : { type, sum };
  }
}

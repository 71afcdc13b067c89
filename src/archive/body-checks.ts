import { type Checksum, type ChecksumType, takeChecksum } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';
import { streamHashes } from '../lib/stream-hashes.js';

/** Takes checksums of a body while it passes, all in one go. */
export class BodyChecks {
  readonly #types: readonly ChecksumType[];
  #taking: Promise<ReadonlyMap<ChecksumType, string>> | undefined;
  #sums: ReadonlyMap<ChecksumType, string> = new Map();

  constructor(types: Iterable<ChecksumType>) {
    this.#types = [...new Set(types)];
  }

  /** Passes a body on. */
  async *watch(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    // Node has no adler32
    const own = this.#types.includes('adler32') ? takeChecksum('adler32') : undefined;
    const types = this.#types.filter((type) => type !== 'adler32');
    const hashes = streamHashes(types);
    let isWhole = false;
    try {
      for await (const piece of body) {
        own?.update(piece);
        if (types.length > 0) await hashes.update(piece);
        yield piece;
      }
      isWhole = true;
    } finally {
      if (!isWhole) hashes.discard();
    }
    this.#taking = hashes.digest().then((sums) => {
      const all = new Map<ChecksumType, string>(types.map((type, index) => [type, sums[index] ?? '']));
      if (own !== undefined) all.set('adler32', own.digest());
      return all;
    });
    // heard by who compares
    this.#taking.catch(() => undefined);
  }

  /**
   * All of the body has passed.
   * @param expected what its sender says of it
   * @throws PacificaError `integrity` when something else came
   */
  async compare(expected: readonly Checksum[]): Promise<void> {
    this.#sums = (await this.#taking) ?? new Map();
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

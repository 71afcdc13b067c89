import { createHasher, feedReader, HASH_TYPES, type HashType } from './digest.js';
import type { RandomReader } from './random-reader.js';

/** What bytes can be checked by: the hash types, and the checksum that grid clients use. */
export type ChecksumType = HashType | 'adler32';

/** A checksum in lower-case hex. */
export interface Checksum {
  readonly type: ChecksumType;
  readonly sum: string;
}

/** Takes one checksum of what it is fed with. */
export interface ChecksumTaker {
  update(bytes: Uint8Array): void;
  /** @returns lower-case hex; once */
  digest(): string;
}

export function takeChecksum(type: ChecksumType): ChecksumTaker {
  if (type === 'adler32') return new Adler32();
  const hasher = createHasher(type);
  return {
    update: (bytes) => void hasher.update(bytes),
    digest: () => hasher.digest('hex'),
  };
}

/** @returns whether a text names a type of checksum */
export function isChecksumType(text: string): text is ChecksumType {
  return text === 'adler32' || HASH_TYPES.some((type) => type === text);
}

/** @returns the checksum of all bytes of a reader, lower-case hex */
export async function checksumReader(reader: RandomReader, type: ChecksumType): Promise<string> {
  const taker = takeChecksum(type);
  await feedReader(reader, (piece) => taker.update(piece));
  return taker.digest();
}

/** Largest prime below 2^16, and how many bytes can be added before the sums outgrow 32 bits (RFC 1950, 9). */
const MODULUS = 65_521;
const ADDED_AT_ONCE = 5552;

/** RFC 1950, 8.2 */
class Adler32 implements ChecksumTaker {
  #low = 1;
  #high = 0;

  update(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    for (let start = 0; start < bytes.length; start += ADDED_AT_ONCE) {
      const end = Math.min(start + ADDED_AT_ONCE, bytes.length);
      for (let at = start; at < end; at += 1) {
        low += bytes[at] ?? 0;
        high += low;
      }
      low %= MODULUS;
      high %= MODULUS;
    }
    this.#low = low;
    this.#high = high;
  }

  digest(): string {
    return (this.#high * 65_536 + this.#low).toString(16).padStart(8, '0');
  }
}

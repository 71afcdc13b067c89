import { createHash, hash, type Hash } from 'node:crypto';
import { PacificaError } from './errors.js';
import { ioBuffer } from './io-buffer.js';
import { type RandomReader, READ_SIZE } from './random-reader.js';

/** Hash types that we take, by their names in Python's hashlib (wire.md, ingest part). */
export const HASH_TYPES = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'] as const;

export type HashType = (typeof HASH_TYPES)[number];

/** hex digits a hash of each type has */
const HEX_DIGITS: Record<HashType, number> = { md5: 32, sha1: 40, sha224: 56, sha256: 64, sha384: 96, sha512: 128 };

/**
 * Reads the name of a hash type in any case, with or without a hyphen (`SHA-256`, `sha256`).
 * @throws PacificaError `invalid`
 */
export function parseHashType(text: string): HashType {
  const type = named(text) ?? named(text.trim().toLowerCase().replace('-', ''));
  if (type === undefined) {
    throw new PacificaError('invalid', `hash type ${JSON.stringify(text.slice(0, 50))} is not known`, {
      hint: `use one of ${HASH_TYPES.join(', ')}`,
    });
  }
  return type;
}

function named(text: string): HashType | undefined {
  return HASH_TYPES.find((known) => known === text);
}

/**
 * Brings a hash to the one form that we compare and store.
 * @param hashtype as {@link parseHashType} takes it
 * @param hashsum hex digits in any case, with or without the type in front (`sha1:F1D2...`)
 * @returns the hash in lower-case hex
 * @throws PacificaError `invalid`: unknown type, another type in front, wrong length, no hex
 */
export function normalizeHash(hashtype: string, hashsum: string): { type: HashType; sum: string } {
  const type = parseHashType(hashtype);
  const colon = hashsum.indexOf(':');
  if (colon !== -1 && parseHashType(hashsum.slice(0, colon)) !== type) {
    throw new PacificaError('invalid', `hash ${shown(hashsum)} is not of type ${type}`);
  }
  const sum = hashsum
    .slice(colon + 1)
    .trim()
    .toLowerCase();
  if (sum.length !== HEX_DIGITS[type] || !/^[0-9a-f]+$/.test(sum)) {
    throw new PacificaError('invalid', `${shown(hashsum)} is not a ${type} hash`, {
      hint: `a ${type} hash is ${HEX_DIGITS[type]} hex digits`,
    });
  }
  return { type, sum };
}

/**
 * @returns the type of a hash that has so many hex digits: each type has its own length
 * @throws PacificaError `invalid`
 */
export function hashOfLength(digits: number): HashType {
  const type = HASH_TYPES.find((known) => HEX_DIGITS[known] === digits);
  if (type !== undefined) return type;
  throw new PacificaError('invalid', `no hash has ${digits} characters`, {
    hint: HASH_TYPES.map((known) => `${known} has ${HEX_DIGITS[known]}`).join(', '),
  });
}

function shown(hashsum: string): string {
  return JSON.stringify(hashsum.length > 150 ? `${hashsum.slice(0, 150)}...` : hashsum);
}

/** @returns a hash to feed with bytes; `digest('hex')` gives the form of {@link normalizeHash} */
export function createHasher(type: HashType): Hash {
  return createHash(type);
}

/** @returns hash of bytes that are all at hand, in lower-case hex: half the time of a hasher where they are few */
export function hashBytes(type: HashType, bytes: Uint8Array): string {
  return hash(type, bytes);
}

/**
 * Hashes all bytes of a reader, a piece at a time.
 * @returns lower-case hex
 * @throws PacificaError `integrity` when the bytes end early
 */
export async function hashReader(
  reader: RandomReader,
  type: HashType,
  options: { signal?: AbortSignal } = {},
): Promise<string> {
  const hasher = createHasher(type);
  await feedReader(reader, (piece) => hasher.update(piece), options.signal);
  return hasher.digest('hex');
}

/**
 * Shows all bytes of a reader to `take`, a piece at a time; a piece is gone when `take` returns.
 * @throws PacificaError `integrity` when the bytes end early; the signal's reason
 */
export async function feedReader(
  reader: RandomReader,
  take: (piece: Uint8Array) => void,
  signal?: AbortSignal,
): Promise<void> {
  // two buffers: the next piece is read while this one is looked at
  const size = Math.min(READ_SIZE, Math.max(reader.size, 1));
  let buffer = ioBuffer(size);
  let spare = reader.size > size ? ioBuffer(size) : buffer;
  let position = 0;
  let next = reader.read(buffer, 0);
  while (position < reader.size) {
    const got = await next;
    signal?.throwIfAborted();
    if (got === 0) {
      throw new PacificaError('integrity', `the bytes end at ${position}, ${reader.size} were expected`);
    }
    position += got;
    const piece = buffer.subarray(0, got);
    [buffer, spare] = [spare, buffer];
    if (position < reader.size) next = reader.read(buffer, position);
    take(piece);
  }
}

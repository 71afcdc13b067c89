import { type HashType, normalizeHash } from './digest.js';

/** Algorithms of the digest fields (RFC 9530, 5, and its registry), best first. */
const ALGORITHMS: readonly (readonly [key: string, type: HashType])[] = [
  ['sha-512', 'sha512'],
  ['sha-256', 'sha256'],
  ['sha', 'sha1'],
  ['md5', 'md5'],
];

/** A hash in lower-case hex. */
export interface Digest {
  readonly type: HashType;
  readonly sum: string;
}

/** @returns the value of Content-Digest or Repr-Digest (RFC 9530, 2 and 3); undefined when the registry lacks the type */
export function formatDigestField({ type, sum }: Digest): string | undefined {
  const key = ALGORITHMS.find(([, known]) => known === type)?.[0];
  return key === undefined ? undefined : `${key}=:${Buffer.from(sum, 'hex').toString('base64')}:`;
}

/**
 * Reads Content-Digest or Repr-Digest: a dictionary of byte sequences (RFC 8941, 3.2 and 3.3.5).
 * @returns the strongest one that we know; undefined when there is none, since a receiver may ignore any of them
 */
export function parseDigestField(field: string | undefined): Digest | undefined {
  const members = new Map(
    (field ?? '').split(',').map((member): [string, string | undefined] => {
      const match = /^\s*([a-z0-9*._-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*$/.exec(member);
      return [match?.[1] ?? '', match?.[2]];
    }),
  );
  for (const [key, type] of ALGORITHMS) {
    const value = members.get(key);
    if (value === undefined) continue;
    try {
      return normalizeHash(type, Buffer.from(value, 'base64').toString('hex'));
    } catch {
      // not as long as such a hash is: as good as none
    }
  }
  return undefined;
}

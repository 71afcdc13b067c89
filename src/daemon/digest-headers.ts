import type { IncomingHttpHeaders } from 'node:http';
import type { Checksum, ChecksumType } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';

/** Bytes that a checksum of each type has. */
const BYTES: Record<ChecksumType, number> = {
  md5: 16,
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  adler32: 4,
};

/** Names in the fields of RFC 9530 (IANA registry "Hash Algorithms for HTTP Digest Fields"). */
const FIELD_NAMES: ReadonlyMap<string, ChecksumType> = new Map([
  ['sha-512', 'sha512'],
  ['sha-256', 'sha256'],
  ['sha', 'sha1'],
  ['md5', 'md5'],
  ['adler', 'adler32'],
]);

/** Names in the Digest header of RFC 3230, in lower case; all values are base64 but that of adler32, which is hex. */
const OLD_NAMES: ReadonlyMap<string, ChecksumType> = new Map([
  ['sha-512', 'sha512'],
  ['sha-256', 'sha256'],
  ['sha', 'sha1'],
  ['md5', 'md5'],
  ['adler32', 'adler32'],
]);

/**
 * What a request says of the bytes that it brings: Content-Digest and Repr-Digest (RFC 9530), which are the same for a
 * whole file, Content-MD5 (RFC 1864), Digest (RFC 3230). Algorithms that we don't know are ignored, as those say.
 * @throws PacificaError `invalid` for a value that can be none of its algorithm: who sends one wants it to be checked
 */
export function announcedChecksums(headers: IncomingHttpHeaders): Checksum[] {
  const found: Checksum[] = [];
  for (const field of ['content-digest', 'repr-digest']) {
    for (const [name, value] of members(one(headers[field]))) {
      const type = FIELD_NAMES.get(name);
      if (type === undefined) continue;
      found.push(fromBase64(field, type, /^:([^:]*):\s*(?:;.*)?$/.exec(value)?.[1] ?? ''));
    }
  }
  for (const [name, value] of members(one(headers.digest))) {
    const type = OLD_NAMES.get(name.toLowerCase());
    if (type === undefined) continue;
    // clients of the grid write other ones in hex too
    const isHex = new RegExp(`^[0-9A-Fa-f]{${BYTES[type] * 2}}$`).test(value);
    if (isHex) found.push({ type, sum: value.toLowerCase() });
    else if (type === 'adler32') throw wrong('digest', type);
    else found.push(fromBase64('digest', type, value));
  }
  const md5 = one(headers['content-md5']);
  if (md5 !== '') found.push(fromBase64('content-md5', 'md5', md5.trim()));
  return found;
}

function fromBase64(field: string, type: ChecksumType, text: string): Checksum {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== BYTES[type] || bytes.toString('base64') !== text) throw wrong(field, type);
  return { type, sum: bytes.toString('hex') };
}

function wrong(field: string, type: ChecksumType): PacificaError {
  return new PacificaError('invalid', `the ${field} header has no ${type} in it`);
}

/**
 * Writes what is known of a file as headers: Repr-Digest always; Content-Digest, Digest and Content-MD5 as the request
 * wants them.
 * @param known what is on record
 * @param compute reads the file for another checksum; only called when the request asks for one
 * @param whole whether the answer's body is the whole file
 */
export async function checksumHeaders(
  headers: IncomingHttpHeaders,
  known: Checksum | undefined,
  compute: (type: ChecksumType) => Promise<Checksum>,
  whole: boolean,
): Promise<Record<string, string>> {
  // a request that asks for none, as most do, waits for nothing
  const wanted = (types: readonly ChecksumType[]): Checksum | undefined | Promise<Checksum> => {
    const [best] = types;
    return best === undefined || (known !== undefined && types.includes(known.type)) ? known : compute(best);
  };
  const answer: Record<string, string> = {};
  const set = (name: string, value: string | undefined): void => {
    if (value !== undefined) answer[name] = value;
  };
  set('Repr-Digest', asField(await wanted(preferences(headers['want-repr-digest'], FIELD_NAMES))));
  const wantContent = preferences(headers['want-content-digest'], FIELD_NAMES);
  if (whole && wantContent.length > 0) set('Content-Digest', asField(await wanted(wantContent)));
  const wantOld = preferences(headers['want-digest'], OLD_NAMES);
  const old = wantOld.length > 0 ? await wanted(wantOld) : undefined;
  set('Digest', asOldDigest(old));
  if (whole) {
    for (const checksum of [known, old]) {
      if (checksum?.type === 'md5') set('Content-MD5', base64(checksum));
    }
  }
  return answer;
}

function asField(checksum: Checksum | undefined): string | undefined {
  const name = nameOf(FIELD_NAMES, checksum);
  return checksum === undefined || name === undefined ? undefined : `${name}=:${base64(checksum)}:`;
}

function asOldDigest(checksum: Checksum | undefined): string | undefined {
  const name = nameOf(OLD_NAMES, checksum);
  if (checksum === undefined || name === undefined) return undefined;
  return `${name}=${checksum.type === 'adler32' ? checksum.sum : base64(checksum)}`;
}

function nameOf(names: ReadonlyMap<string, ChecksumType>, checksum: Checksum | undefined): string | undefined {
  for (const [name, type] of names) if (type === checksum?.type) return name;
  return undefined;
}

function base64({ sum }: Checksum): string {
  return Buffer.from(sum, 'hex').toString('base64');
}

/**
 * What a Want header asks for, the most wanted first: `sha-256=10, md5=0` (RFC 9530, 4) or `adler32;q=0.5, md5`
 * (RFC 3230, 4.3.1); 0 is "not this one".
 */
function preferences(field: string | string[] | undefined, names: ReadonlyMap<string, ChecksumType>): ChecksumType[] {
  if (field === undefined) return [];
  return one(field)
    .split(',')
    .map((member) => {
      const match = /^\s*([A-Za-z0-9-]+)\s*(?:(?:=|;\s*q\s*=)\s*([0-9.]+))?\s*$/.exec(member);
      return { type: names.get((match?.[1] ?? '').toLowerCase()), weight: Number(match?.[2] ?? 1) };
    })
    .filter(({ weight }) => weight > 0)
    .sort((left, right) => right.weight - left.weight)
    .flatMap(({ type }) => (type === undefined ? [] : [type]));
}

/** `a=b, c=d` as pairs; what is not of that form is left out. */
function members(field: string): [string, string][] {
  return field.split(',').flatMap((member): [string, string][] => {
    const match = /^\s*([A-Za-z0-9*._-]+)\s*=\s*(.*?)\s*$/.exec(member);
    return match === null ? [] : [[match[1] ?? '', match[2] ?? '']];
  });
}

/** Node joins most headers that are there twice; those of a name that it knows otherwise come as a list. */
function one(field: string | string[] | undefined): string {
  return Array.isArray(field) ? field.join(', ') : (field ?? '');
}

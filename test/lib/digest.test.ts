import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { HASH_TYPES, createHasher, hashReader, normalizeHash, parseHashType } from '../../src/lib/digest.js';
import type { PacificaError } from '../../src/lib/errors.js';
import { READ_SIZE, type RandomReader } from '../../src/lib/random-reader.js';

function readerOf(bytes: Buffer, size = bytes.length): RandomReader {
  return {
    size,
    async read(buffer, position) {
      return bytes.copy(buffer, 0, position);
    },
    async close() {
      return Promise.resolve();
    },
  };
}

test.each(HASH_TYPES)('%s is what Python calls by that name', (type) => {
  const bytes = randomBytes(1000);
  const python = execFileSync(
    'python3',
    ['-c', 'import hashlib, sys; print(hashlib.new(sys.argv[1], sys.stdin.buffer.read()).hexdigest())', type],
    { input: bytes, encoding: 'utf8' },
  ).trim();
  expect(createHasher(type).update(bytes).digest('hex')).toBe(python);
  expect(normalizeHash(type, python)).toEqual({ type, sum: python });
});

test.each([
  ['SHA-256', 'sha256'],
  ['Sha1', 'sha1'],
  ['sha-512', 'sha512'],
  ['MD5', 'md5'],
])('hash type %s is read as %s', (text, type) => {
  expect(parseHashType(text)).toBe(type);
});

test('a hash is brought to lower case and loses its prefix', () => {
  const sum = 'F1D2D2F924E986AC86FDF7B36C94BCDF32BEEC15';
  for (const text of [sum, `sha1:${sum}`, `SHA-1:${sum}`, ` ${sum} `]) {
    expect(normalizeHash('SHA1', text).sum).toBe(sum.toLowerCase());
  }
});

test.each([
  ['sha1', ''],
  ['sha1', 'f1d2'],
  ['sha1', 'g1d2d2f924e986ac86fdf7b36c94bcdf32beec15'],
  ['md5', 'f1d2d2f924e986ac86fdf7b36c94bcdf32beec15'],
  ['sha1', 'md5:f1d2d2f924e986ac86fdf7b36c94bcdf32beec15'],
  ['crc32', 'f1d2d2f9'],
  ['__proto__', ''],
])('%s hash "%s" is refused', (type, sum) => {
  expect(() => normalizeHash(type, sum)).toThrow(expect.objectContaining({ code: 'invalid' }) as PacificaError);
});

test('a reader of several pieces is hashed whole', async () => {
  for (const size of [0, 1, READ_SIZE, READ_SIZE + 1, 3 * READ_SIZE - 7]) {
    const bytes = randomBytes(size);
    expect(await hashReader(readerOf(bytes), 'sha1')).toBe(createHasher('sha1').update(bytes).digest('hex'));
  }
});

test('bytes that end early are an integrity error', async () => {
  await expect(hashReader(readerOf(randomBytes(10), 20), 'md5')).rejects.toMatchObject({ code: 'integrity' });
});

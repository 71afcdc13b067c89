import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ThreadHashes } from '../../src/lib/hash-threads.js';

const MiB = 1024 * 1024;
const PORTION = MiB / 4;

async function hashed(bytes: Buffer, piece: number, types: readonly string[]): Promise<readonly string[]> {
  const hashes = new ThreadHashes(types);
  for (let at = 0; at < bytes.length; at += piece) await hashes.update(bytes.subarray(at, at + piece));
  return hashes.digest();
}

function expected(bytes: Buffer, types: readonly string[]): string[] {
  return types.map((type) => createHash(type).update(bytes).digest('hex'));
}

describe('the hashes are those that Node takes at once', () => {
  const types = ['sha256', 'md5'];
  test.each([0, 1, PORTION - 1, PORTION, PORTION + 1, 2 * PORTION, 5 * MiB + 17])('of %i bytes', async (size) => {
    const bytes = randomBytes(size);
    for (const piece of [65_536, 100_001, 3 * MiB]) {
      expect(await hashed(bytes, piece, types)).toEqual(expected(bytes, types));
    }
  });

  test('of many streams at once', async () => {
    const all = Array.from({ length: 50 }, () => randomBytes(2 * MiB));
    const sums = await Promise.all(all.map((bytes, index) => hashed(bytes, 10_000 + 1000 * index, ['sha1'])));
    expect(sums).toEqual(all.map((bytes) => expected(bytes, ['sha1'])));
  });
});

test("the memory of a piece is the giver's again when it was taken", async () => {
  const memory = Buffer.alloc(MiB);
  const sent: Buffer[] = [];
  const hashes = new ThreadHashes(['sha256']);
  for (const length of [10, 65_535, 65_536, 65_537, MiB, 1, 300_000]) {
    const piece = memory.subarray(0, length);
    randomBytes(length).copy(piece);
    sent.push(Buffer.from(piece));
    await hashes.update(piece);
    memory.fill(0);
  }
  expect(await hashes.digest()).toEqual(expected(Buffer.concat(sent), ['sha256']));
});

test('a stream that is given up while it waits for room takes none of it', async () => {
  const busy = Array.from({ length: 8 }, () => new ThreadHashes(['sha512']));
  const under = busy.map((hashes) => hashes.update(Buffer.alloc(16 * MiB)));
  busy.forEach((hashes) => hashes.discard());
  await Promise.all(under);
  const bytes = randomBytes(8 * MiB);
  expect(await hashed(bytes, MiB, ['sha256'])).toEqual(expected(bytes, ['sha256']));
});

test('streams that are given up keep nothing from the others', async () => {
  for (let turn = 0; turn < 40; turn += 1) {
    const given = new ThreadHashes(['sha256']);
    await given.update(randomBytes(3 * MiB));
    given.discard();
  }
  const bytes = randomBytes(8 * MiB);
  expect(await hashed(bytes, MiB, ['sha256'])).toEqual(expected(bytes, ['sha256']));
});

test('a thread that breaks fails its streams, and the next ones get another', async () => {
  await expect(hashed(randomBytes(20 * MiB), MiB, ['no such hash'])).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('hashing failed') as string,
  });
  const bytes = randomBytes(4 * MiB);
  expect(await hashed(bytes, MiB, ['sha256'])).toEqual(expected(bytes, ['sha256']));
});

test('the event loop goes on meanwhile', async () => {
  const bytes = randomBytes(64 * MiB);
  // what the loop did while 64 MiB were hashed here would be nothing
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  await hashed(bytes, bytes.length, ['sha512']);
  clearInterval(timer);
  expect(turns).toBeGreaterThan(3);
});

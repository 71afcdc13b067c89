import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { HashesHere, streamHashes } from '../../src/lib/stream-hashes.js';

const types = ['sha256', 'md5'];

test.each([
  ['in this thread', () => new HashesHere(types)],
  ['as this machine has it', () => streamHashes(types)],
])('hashes %s are those that Node takes at once', async (_where, make) => {
  const bytes = randomBytes(3 * 1024 * 1024 + 17);
  const hashes = make();
  for (let at = 0; at < bytes.length; at += 65_536) await hashes.update(bytes.subarray(at, at + 65_536));
  expect(await hashes.digest()).toEqual(types.map((type) => createHash(type).update(bytes).digest('hex')));
});

test('nothing came', async () => {
  expect(await new HashesHere(types).digest()).toEqual(types.map((type) => createHash(type).digest('hex')));
});

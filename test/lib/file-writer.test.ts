import { randomBytes, randomInt } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileWriter } from '../../src/lib/file-writer.js';
import { injectFaults } from '../support/fault-fs.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

afterEach(() => removeFolder(folder));

/** Writes pieces of random sizes up to `most` bytes. @returns all of them and what the file has then */
async function written(
  name: string,
  count: number,
  most: number,
  options?: { aside: boolean },
): Promise<{ sent: Buffer; got: Buffer }> {
  const path = join(folder, name);
  const file = await open(path, 'wx');
  const writer = new FileWriter(file, options);
  const pieces = Array.from({ length: count }, () => randomBytes(randomInt(most + 1)));
  for (const piece of pieces) await writer.write(piece);
  await writer.flush();
  await writer.release();
  await file.close();
  const sent = Buffer.concat(pieces);
  expect(writer.size).toBe(sent.length);
  return { sent, got: await readFile(path) };
}

test.each([
  ['nothing', 0, 0],
  ['one small piece', 1, 1000],
  ['one large piece', 1, 3 * 1024 * 1024],
  ['many small pieces', 5000, 300],
  ['pieces as sockets give them', 100, 65_536],
  ['pieces larger than a block', 5, 1024 * 1024],
])('writes what it is given: %s', async (_name, count, most) => {
  for (const aside of [false, true]) {
    const { sent, got } = await written(`f${aside}`, count, most, { aside });
    expect(got.equals(sent)).toBe(true);
  }
});

test('many writers at once, more than use large blocks, do not get at the bytes of one another', async () => {
  const all = await Promise.all(Array.from({ length: 40 }, (_one, index) => written(String(index), 30, 65_536)));
  expect(all.map(({ sent, got }) => got.equals(sent))).toEqual(all.map(() => true));
});

test("the memory of a piece is the giver's again when it was taken", async () => {
  const path = join(folder, 'f');
  const file = await open(path, 'wx');
  const writer = new FileWriter(file);
  const memory = Buffer.alloc(512 * 1024);
  const sent: Buffer[] = [];
  // small ones that are put together, and large ones in between
  for (const length of [10, 65_536, 300_000, 5000, 131_072, 131_071, 512 * 1024, 1]) {
    const piece = memory.subarray(0, length);
    randomBytes(length).copy(piece);
    sent.push(Buffer.from(piece));
    await writer.write(piece);
    memory.fill(0);
  }
  await writer.flush();
  await writer.release();
  await file.close();
  expect((await readFile(path)).equals(Buffer.concat(sent))).toBe(true);
});

test('a write that takes only half of its bytes is gone on with', async () => {
  const restore = await injectFaults(({ name }) => (name === 'write' ? 'short' : undefined));
  const { sent, got } = await written('f', 40, 65_536).finally(restore);
  expect(got.equals(sent)).toBe(true);
});

test('a write that fails in the background is told at the next step', async () => {
  const file = await open(join(folder, 'f'), 'wx');
  const writer = new FileWriter(file);
  const restore = await injectFaults(({ name }) => (name === 'write' ? 'ENOSPC' : undefined));
  await expect(
    (async () => {
      for (let turn = 0; turn < 10; turn += 1) await writer.write(Buffer.alloc(1024 * 1024));
      await writer.flush();
    })(),
  ).rejects.toMatchObject({ code: 'ENOSPC' });
  restore();
  await writer.release();
  await writer.release();
  await file.close();
});

test('the failure of the last write is told by the flush', async () => {
  const file = await open(join(folder, 'f'), 'wx');
  const writer = new FileWriter(file);
  await writer.write(randomBytes(100_000));
  const restore = await injectFaults(({ name }) => (name === 'write' ? 'EIO' : undefined));
  await expect(writer.flush()).rejects.toMatchObject({ code: 'EIO' });
  restore();
  await writer.release();
  await file.close();
});

test('release waits for what a write that was left behind still does: nothing is written to a descriptor after it', async () => {
  const file = await open(join(folder, 'f'), 'wx');
  const writer = new FileWriter(file);
  let released = false;
  let late = 0;
  const restore = await injectFaults(({ name }) => {
    if (name === 'write' && released) late += 1;
    return 'slow';
  });
  const left = writer.write(randomBytes(1024 * 1024));
  await writer.release();
  released = true;
  const { size } = await file.stat();
  await left;
  restore();
  expect({ late, size }).toEqual({ late: 0, size: 1024 * 1024 });
  await file.close();
});

import { pbkdf2 } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileReader } from '../../src/lib/file-reader.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

const SIZE = 1024 * 1024;

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder, 'a'), Buffer.alloc(SIZE, 'a'));
  await writeFile(join(folder, 'b'), Buffer.alloc(SIZE, 'b'));
});
afterEach(() => removeFolder(folder));

/** Keeps every thread of Node's pool busy: what comes after it waits. */
function fillThreadPool(): Promise<unknown> {
  return Promise.all(
    Array.from({ length: 8 }, () => new Promise((resolve) => pbkdf2('a', 'b', 50_000, 64, 'sha512', resolve))),
  );
}

test('a read that is under way when the file is closed gets the bytes of this file', async () => {
  const reader = FileReader.open(join(folder, 'a'));
  const busy = fillThreadPool();
  const buffer = Buffer.alloc(SIZE);
  const reading = reader.read(buffer, 0);
  const closing = reader.close();
  // takes the number of a descriptor that was closed
  const others = Array.from({ length: 4 }, () => openSync(join(folder, 'b'), 'r'));
  expect(await reading).toBe(SIZE);
  expect(buffer.equals(Buffer.alloc(SIZE, 'a'))).toBe(true);
  await closing;
  await busy;
  others.forEach((fd) => closeSync(fd));
});

test('is closed once, however often it is asked for', async () => {
  const reader = FileReader.open(join(folder, 'a'));
  await reader.close();
  const other = openSync(join(folder, 'b'), 'r');
  await reader.close();
  closeSync(other);
  await expect(reader.read(Buffer.alloc(1), 0)).rejects.toMatchObject({ code: 'internal' });
});

test.each([
  ['on disk, is read at once', 'a', 'read'],
  ['whose bytes are elsewhere, as those on tape, holds up nobody', 'stub', 'other work'],
])('a small file %s', async (_what, name, first) => {
  await writeFile(join(folder, 'stub'), '');
  await truncate(join(folder, 'stub'), SIZE);
  const reader = FileReader.open(join(folder, name));
  const busy = fillThreadPool();
  const reading = reader.read(Buffer.alloc(4096), 0).then(() => 'read');
  const other = new Promise((resolve) => setImmediate(() => resolve('other work')));
  expect(await Promise.race([reading, other])).toBe(first);
  await busy;
  await reader.close();
});

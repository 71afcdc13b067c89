import { pbkdf2 } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
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

describe('at once', () => {
  let now = 0;
  /** ms that pass from one look at the clock to the next: what a call takes */
  let pace = 0;
  beforeEach(() => {
    // after what was slow before
    now = performance.now() + 2000;
    pace = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => (now += pace));
  });
  afterEach(() => vi.restoreAllMocks());

  function promptly(path: string): FileReader {
    const reader = FileReader.openAtOnce(join(folder, path), { follow: false });
    if (reader === undefined) throw new Error(`${path} was not opened`);
    return reader;
  }

  test('reads and closes a small file', async () => {
    await writeFile(join(folder, 'small'), 'abcdef');
    const reader = promptly('small');
    const buffer = Buffer.alloc(4);
    expect(reader.readAtOnce(buffer, 4)).toBe(2);
    expect(buffer.toString('latin1')).toBe('ef\0\0');
    expect(reader.readAtOnce(buffer, 6)).toBe(0);
    expect(reader.closeAtOnce()).toBe(true);
    expect(reader.readAtOnce(buffer, 0)).toBeUndefined();
    await expect(reader.read(buffer, 0)).rejects.toMatchObject({ code: 'internal' });
    await reader.close();
  });

  test('opens no symbolic link that is not to be followed, nor what is not there', async () => {
    await symlink('a', join(folder, 'link'));
    expect(() => promptly('link')).toThrow('is not a regular file');
    expect(() => promptly('nothing')).toThrow('ENOENT');
    await expect(FileReader.openPatiently(join(folder, 'link'), { follow: false })).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  test('what can not be had at once is left to those who wait', async () => {
    await writeFile(join(folder, 'stub'), '');
    await truncate(join(folder, 'stub'), 100);
    const stub = promptly('stub');
    expect(stub.readAtOnce(Buffer.alloc(100), 0)).toBeUndefined();
    const reader = promptly('a');
    expect(reader.readAtOnce(Buffer.alloc(SIZE), 0)).toBeUndefined();
    // its descriptor is used until the read is done
    const reading = reader.read(Buffer.alloc(SIZE), 0);
    expect(reader.closeAtOnce()).toBe(false);
    expect(await reading).toBe(SIZE);
    expect(reader.closeAtOnce()).toBe(true);
    await stub.close();
  });

  test('a file that was cut gives nothing, and the error to those who wait', async () => {
    const reader = promptly('a');
    await truncate(join(folder, 'a'), 1000);
    expect(reader.readAtOnce(Buffer.alloc(2000), 0)).toBeUndefined();
    await expect(reader.read(Buffer.alloc(2000), 0)).rejects.toMatchObject({ code: 'integrity' });
    await reader.close();
  });

  test('where the file system lets calls wait nothing is done in the calling thread', async () => {
    const reader = promptly('a');
    pace = 30;
    reader.readAtOnce(Buffer.alloc(10), 0);
    pace = 0;
    expect(reader.readAtOnce(Buffer.alloc(10), 0)).toBeUndefined();
    expect(reader.closeAtOnce()).toBe(false);
    expect(FileReader.openAtOnce(join(folder, 'b'))).toBeUndefined();
    const buffer = Buffer.alloc(10);
    expect(await reader.read(buffer, 0)).toBe(10);
    expect(buffer.toString()).toBe('a'.repeat(10));
    await reader.close();
  });
});

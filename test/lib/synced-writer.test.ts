import { randomBytes } from 'node:crypto';
import { constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type FileHandle, mkdtemp, open, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SyncedWriter } from '../../src/lib/synced-writer.js';
import { injectFaults } from '../support/fault-fs.js';

const MiB = 1024 * 1024;
/** what comes after this goes past the page cache */
const LARGE = 8 * MiB;

// beside this file: the folder for temporary files may lie in memory, which has no cache to go past
const beside = fileURLToPath(new URL('.', import.meta.url));
const isLocalDisk = [0xef53, 0x58465342].includes((await statfs(beside)).type);
if (!isLocalDisk) console.warn('writing past the page cache: this is neither ext4 nor XFS, where it is done');

let folder: string;
let made = 0;
const begun: { file: FileHandle; writer: SyncedWriter }[] = [];
let restore: () => void = () => undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(beside, 'synced-'));
});
afterEach(async () => {
  restore();
  restore = () => undefined;
  for (const { file, writer } of begun.splice(0)) {
    await writer.release();
    await file.close();
  }
  await rm(folder, { recursive: true });
});

async function begin(): Promise<{ path: string; writer: SyncedWriter }> {
  made += 1;
  const path = join(folder, String(made));
  const file = await open(path, 'wx', 0o600);
  const writer = new SyncedWriter(file);
  begun.push({ file, writer });
  return { path, writer };
}

async function writeAll(writer: SyncedWriter, bytes: Buffer, piece: number): Promise<void> {
  const memory = Buffer.alloc(piece);
  for (let at = 0; at < bytes.length; at += piece) {
    const length = bytes.copy(memory, 0, at);
    await writer.write(memory.subarray(0, length));
    // it is ours again
    memory.fill(0);
  }
}

/** @returns how often a file is open for writes past the cache */
function directDescriptors(path: string): number {
  const isDirect = (descriptor: string): boolean => {
    try {
      if (readlinkSync(`/proc/self/fd/${descriptor}`) !== path) return false;
      const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1];
      return (Number.parseInt(flags ?? '0', 8) & constants.O_DIRECT) !== 0;
    } catch {
      // that of the listing
      return false;
    }
  };
  return readdirSync('/proc/self/fd').filter(isDirect).length;
}

const SIZES = [0, 1, LARGE - 1, LARGE, LARGE + 1, LARGE + 4096, LARGE + MiB, LARGE + 3 * MiB + 12_345];
test.each(SIZES.flatMap((size) => [65_536, 99_991, 256 * 1024, 32 * MiB].map((piece) => [size, piece] as const)))(
  'writes what it is given: %i bytes in pieces of %i',
  async (size, piece) => {
    const bytes = randomBytes(size);
    const { path, writer } = await begin();
    await writeAll(writer, bytes, piece);
    expect(writer.size).toBe(size);
    await writer.flush();
    await writer.sync();
    await writer.release();
    await writer.release();
    expect((await readFile(path)).equals(bytes)).toBe(true);
  },
);

test('many files at once, more than go past the cache, do not get at the bytes of one another', async () => {
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      const bytes = randomBytes(LARGE + 2 * MiB + 777);
      const { path, writer } = await begin();
      await writeAll(writer, bytes, 256 * 1024);
      await writer.flush();
      expect((await readFile(path)).equals(bytes)).toBe(true);
    }),
  );
});

describe.skipIf(!isLocalDisk)('past the page cache', () => {
  /** A file that is written so, and as yet only begun. */
  async function beginLarge(): Promise<{ path: string; writer: SyncedWriter; bytes: Buffer }> {
    const one = await begin();
    const bytes = randomBytes(LARGE + 65_536);
    await writeAll(one.writer, bytes, 65_536);
    return { ...one, bytes };
  }

  test('goes what comes after the first 8 MiB, by one more descriptor that is closed at the end', async () => {
    const { path, writer } = await begin();
    await writeAll(writer, Buffer.alloc(LARGE - 1), MiB);
    expect(directDescriptors(path)).toBe(0);
    await writer.write(Buffer.alloc(1));
    await writer.write(Buffer.alloc(MiB));
    await writer.write(Buffer.alloc(MiB));
    expect(directDescriptors(path)).toBe(1);
    await writer.flush();
    expect(directDescriptors(path)).toBe(0);
  });

  test('go two files at a time, others when one of them is done with', async () => {
    const files = [await beginLarge(), await beginLarge(), await beginLarge()];
    expect(files.map(({ path }) => directDescriptors(path))).toEqual([1, 1, 0]);
    for (const { path, writer, bytes } of files) {
      await writer.flush();
      await writer.release();
      expect((await readFile(path)).equals(bytes)).toBe(true);
    }
    const next = [await beginLarge(), await beginLarge()];
    expect(next.map(({ path }) => directDescriptors(path))).toEqual([1, 1]);
  });

  test('go others as soon as one is flushed, though it is not released', async () => {
    const files = [await beginLarge(), await beginLarge()];
    for (const { writer } of files) await writer.flush();
    expect(directDescriptors((await beginLarge()).path)).toBe(1);
  });

  test('a write that takes only a part of its bytes is gone on with, also where the rest begins at no sector', async () => {
    restore = await injectFaults(({ name }) => (name === 'write' ? 'short' : undefined));
    const bytes = randomBytes(LARGE + 3 * MiB + 5);
    const { path, writer } = await begin();
    await writeAll(writer, bytes, 65_536);
    await writer.flush();
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });

  test('nothing goes where the file system takes none after all: the file is written as any other', async () => {
    const { path, writer, bytes } = await beginLarge();
    let writes = 0;
    restore = await injectFaults(({ name }) => (name === 'write' && (writes += 1) === 1 ? 'EINVAL' : undefined));
    const more = randomBytes(3 * MiB);
    await writeAll(writer, more, 65_536);
    expect(directDescriptors(path)).toBe(0);
    await writer.flush();
    expect((await readFile(path)).equals(Buffer.concat([bytes, more]))).toBe(true);
  });

  test.each(['EIO', 'ENOSPC'] as const)('a write that fails with %s is told at the next step', async (fault) => {
    const { writer } = await beginLarge();
    restore = await injectFaults(({ name }) => (name === 'write' ? fault : undefined));
    await expect(writeAll(writer, Buffer.alloc(3 * MiB), 65_536)).rejects.toMatchObject({ code: fault });
    await expect(writer.flush()).rejects.toMatchObject({ code: fault });
  });

  test('the failure of the last writes is told by the flush', async () => {
    const { writer } = await beginLarge();
    restore = await injectFaults(({ name }) => (name === 'write' ? 'EIO' : undefined));
    await writer.write(Buffer.alloc(MiB - 65_536));
    await expect(writer.flush()).rejects.toMatchObject({ code: 'EIO' });
  });

  test.each(['flush', 'write'] as const)('release waits for a %s that was left behind', async (step) => {
    const { path, writer } = await beginLarge();
    let running = 0;
    restore = await injectFaults(({ name }) => {
      if (name === 'write') running += 1;
      return 'slow';
    });
    const left = step === 'flush' ? writer.flush() : writer.write(Buffer.alloc(3 * MiB));
    await Promise.all([writer.release(), writer.release()]);
    const before = running;
    expect(before).toBeGreaterThan(0);
    await left;
    expect({ more: running - before, open: directDescriptors(path) }).toEqual({ more: 0, open: 0 });
  });
});

test('nothing is written after the flush', async () => {
  const { path, writer } = await begin();
  const bytes = randomBytes(LARGE + 1000);
  await writer.write(bytes);
  await writer.flush();
  await expect(writer.write(Buffer.alloc(1))).rejects.toMatchObject({ code: 'internal' });
  expect((await readFile(path)).equals(bytes)).toBe(true);
});

test('more files than may be synced at a time are, though each of them waits for one that began before', async () => {
  const files = await Promise.all(Array.from({ length: 8 }, begin));
  // more than after which the disk is told to begin, in those that go through the page cache
  for (const { writer } of files) await writer.write(Buffer.alloc(33 * MiB));
  await Promise.all(
    files.map(async ({ writer }) => {
      await writer.flush();
      await writer.syncInTurn();
      await writer.release();
    }),
  );
});

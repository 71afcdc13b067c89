import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseArchiveId } from '../../../../src/lib/archive-id.js';
import { feedReader } from '../../../../src/lib/digest.js';
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { piecesOf } from '../../../support/streams.js';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;
if (!canMount) console.warn('not root on Linux: a file system without direct reads can not be tried here');

const MIB = 1024 * 1024;
const id = parseArchiveId('1');

// beside this file: the folder for temporary files may lie in memory, which has no cache
const beside = fileURLToPath(new URL('.', import.meta.url));

describe('reading past the page cache', () => {
  let folder: string;
  let backend: PosixBackend;

  beforeEach(async () => {
    folder = await mkdtemp(join(beside, 'uncached-'));
    backend = new PosixBackend(folder, { useId2filename: false });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function put(size: number): Promise<Buffer> {
    const content = randomBytes(size);
    await backend.put(id, piecesOf(content, 1_000_000));
    return content;
  }

  async function readAll(): Promise<Buffer> {
    const file = await backend.openUncached(id);
    const pieces: Buffer[] = [];
    try {
      await feedReader(file, (piece) => pieces.push(Buffer.from(piece)));
    } finally {
      await file.close();
    }
    return Buffer.concat(pieces);
  }

  test.each([0, 1, 511, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 3 * MIB + 12_345])(
    'gives all of %i bytes',
    async (size) => {
      const content = await put(size);
      expect((await readAll()).equals(content)).toBe(true);
    },
  );

  test('reads from any place, as much as is asked for', async () => {
    const content = await put(2 * MIB + 777);
    const file = await backend.openUncached(id);
    for (const [position, length] of [
      [0, 10],
      [4095, 2],
      [4097, 4096],
      [MIB - 1, 1_500_000],
      [2 * MIB + 700, 500],
      [2 * MIB + 777, 5],
    ] as const) {
      const buffer = Buffer.alloc(length);
      const expected = content.subarray(position, position + length);
      expect(await file.read(buffer, position)).toBe(expected.length);
      expect(buffer.subarray(0, expected.length).equals(expected)).toBe(true);
    }
    await file.close();
  });

  test("many files at once do not get each other's bytes", async () => {
    const contents = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const content = randomBytes(MIB + index);
        await backend.put(parseArchiveId(index), piecesOf(content));
        return content;
      }),
    );
    await Promise.all(
      contents.map(async (content, index) => {
        const file = await backend.openUncached(parseArchiveId(index));
        const buffer = Buffer.alloc(content.length);
        await file.read(buffer, 0);
        await file.close();
        expect(buffer.equals(content)).toBe(true);
      }),
    );
  });

  test('a file that was cut while it was read is told', async () => {
    await put(3 * MIB);
    const file = await backend.openUncached(id);
    execFileSync('chmod', ['u+w', join(folder, id)]);
    execFileSync('truncate', ['-s', '1000', join(folder, id)]);
    await expect(file.read(Buffer.alloc(MIB), MIB)).rejects.toMatchObject({ code: 'integrity' });
    await file.close();
  });

  describe.skipIf(spawnSync('fincore', ['--version']).error !== undefined)('as fincore sees it', () => {
    const cached = (): number =>
      Number(
        execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', join(folder, id)], { encoding: 'utf8' }),
      );
    const evict = (): void => {
      execFileSync('chmod', ['u+w', join(folder, id)]);
      const words = [`of=${join(folder, id)}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'];
      execFileSync('dd', words);
    };

    beforeEach(async (context) => {
      await put(5 * MIB);
      const direct = await open(join(folder, id), constants.O_RDONLY | constants.O_DIRECT).catch(() => undefined);
      await direct?.close();
      evict();
      if (direct === undefined || cached() > 0) context.skip('this file system has no reads past the cache');
    });

    test('a cold file stays cold', async () => {
      expect((await readAll()).length).toBe(5 * MIB);
      expect(cached()).toBe(0);
      // what the other way of reading does
      execFileSync('cat', [join(folder, id)], { maxBuffer: 100 * MIB });
      expect(cached()).toBe(5 * MIB);
    });

    test('a hot file stays hot', async () => {
      execFileSync('cat', [join(folder, id)], { maxBuffer: 100 * MIB });
      expect(cached()).toBe(5 * MIB);
      await readAll();
      expect(cached()).toBe(5 * MIB);
    });
  });

  test.runIf(canMount)('a file system that has no such reads is read as always', async () => {
    const memory = join(folder, 'memory');
    await mkdir(memory);
    execFileSync('mount', ['-t', 'ramfs', 'none', memory]);
    try {
      const other = new PosixBackend(join(memory, 'archive'), { useId2filename: false });
      const content = randomBytes(MIB + 5);
      await other.put(id, piecesOf(content));
      await expect(open(join(memory, 'archive', id), constants.O_RDONLY | constants.O_DIRECT)).rejects.toMatchObject({
        code: 'EINVAL',
      });
      const file = await other.openUncached(id);
      const buffer = Buffer.alloc(content.length);
      expect(await file.read(buffer, 0)).toBe(content.length);
      expect(buffer.equals(content)).toBe(true);
      await file.close();
    } finally {
      execFileSync('umount', [memory]);
    }
  });
});

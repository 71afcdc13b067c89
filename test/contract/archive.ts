import { randomBytes } from 'node:crypto';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Archive } from '../../src/archive/archive.js';
import { type ArchiveId, parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { collect, expectSame, ownPiecesOf } from '../support/streams.js';
import { draftsSuite } from './drafts.js';

/** An archive made for one test. */
export interface ArchiveTenant {
  readonly archive: Archive;
  /** a folder of the archive's machine that files may be moved from, and one beside it where they may not */
  readonly incoming: string;
  readonly outside: string;
  dispose(): Promise<void>;
}

const MTIME = Date.UTC(1994, 10, 6, 8, 49, 37);

/** What every archive must do (src/archive/archive.ts). */
export function archiveSuite(name: string, make: () => Promise<ArchiveTenant>): void {
  describe(`archive: ${name}`, () => {
    let tenant: ArchiveTenant;
    let archive: Archive;

    beforeEach(async () => {
      tenant = await make();
      archive = tenant.archive;
    });

    afterEach(async () => {
      await archive.close();
      await tenant.dispose();
    });

    const id = parseArchiveId('12345');

    async function put(of: ArchiveId, bytes: Uint8Array, options = {}): Promise<void> {
      const { size } = await archive.put(of, ownPiecesOf(bytes), { size: bytes.length, ...options });
      expect(size).toBe(bytes.length);
    }

    async function read(of: ArchiveId, start?: number, end?: number): Promise<Buffer> {
      const file = await archive.open(of);
      try {
        return await collect(file.stream(start, end));
      } finally {
        await file.close();
      }
    }

    test.each([0, 1, 100_000, 3_000_000])('%i bytes come back as they went in', async (size) => {
      const bytes = randomBytes(size);
      await put(id, bytes, { mtimeMs: MTIME });
      expectSame(await read(id), bytes);
      expect(await archive.status(id)).toMatchObject({ size, mtimeMs: MTIME, bytesPerLevel: [size], media: 'disk' });
    });

    test('a stream without a length', async () => {
      const bytes = randomBytes(500_000);
      expect(await archive.put(id, ownPiecesOf(bytes))).toMatchObject({ size: bytes.length });
      expectSame(await read(id), bytes);
    });

    test('any range, many at once', async () => {
      const bytes = randomBytes(1_000_000);
      await put(id, bytes);
      const file = await archive.open(id);
      expect(file.status.size).toBe(bytes.length);
      await Promise.all(
        [
          [0, 0],
          [0, 1],
          [999_999, 1_000_000],
          [500_000, 500_000],
          [10, 900_000],
          [0, 1_000_000],
        ].map(async ([start = 0, end = 0]) =>
          expectSame(await collect(file.stream(start, end)), bytes.subarray(start, end)),
        ),
      );
      if (file.reader !== undefined) {
        const buffer = Buffer.alloc(1000);
        expect(await file.reader.read(buffer, 777)).toBe(1000);
        expectSame(buffer, bytes.subarray(777, 1777));
      }
      await file.close();
      await file.close();
    });

    test('leaving a stream early does no harm', async () => {
      await put(id, randomBytes(3_000_000));
      const file = await archive.open(id);
      for await (const piece of file.stream()) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
      expect(await collect(file.stream(0, 10))).toHaveLength(10);
      await file.close();
    });

    test('what is not there is not found', async () => {
      for (const look of [
        () => archive.open(id),
        () => archive.status(id),
        () => archive.stage([id]),
        () => archive.delete(id),
      ]) {
        await expect(look()).rejects.toMatchObject({
          code: 'not-found',
          message: expect.stringContaining('12345') as string,
        });
      }
    });

    test('stage takes many and names one that is missing', async () => {
      const ids = Array.from({ length: 40 }, (_, index) => parseArchiveId(index));
      await Promise.all(ids.map((one) => put(one, Buffer.from('x'))));
      await archive.stage(ids);
      await archive.stage([]);
      await expect(archive.stage([...ids, id])).rejects.toMatchObject({ code: 'not-found' });
    });

    test('delete', async () => {
      await put(id, Buffer.from('x'));
      await archive.delete(id);
      await expect(archive.status(id)).rejects.toMatchObject({ code: 'not-found' });
      await expect(archive.delete(id)).rejects.toMatchObject({ code: 'not-found' });
    });

    describe('whole or not at all', () => {
      const old = Buffer.from('the old file');
      beforeEach(() => put(id, old));

      test('a body of another length than announced', async () => {
        await expect(archive.put(id, ownPiecesOf(Buffer.alloc(5)), { size: 100 })).rejects.toMatchObject({
          code: 'invalid',
        });
        await expect(archive.put(id, ownPiecesOf(Buffer.alloc(200)), { size: 100 })).rejects.toMatchObject({
          code: 'invalid',
        });
        expectSame(await read(id), old);
      });

      test('a body that breaks', async () => {
        const failure = new PacificaError('integrity', 'the source broke');
        async function* broken(): AsyncGenerator<Uint8Array> {
          yield Buffer.alloc(300_000);
          await Promise.reject(failure);
        }
        await expect(archive.put(id, broken(), { size: 400_000 })).rejects.toBe(failure);
        await expect(archive.put(id, broken())).rejects.toBe(failure);
        expectSame(await read(id), old);
      });

      test('the last look can refuse', async () => {
        const refusal = new PacificaError('integrity', 'wrong digest');
        for (const bytes of [Buffer.alloc(0), Buffer.alloc(10), Buffer.alloc(300_000)]) {
          const refused = archive.put(id, ownPiecesOf(bytes), {
            size: bytes.length,
            beforeVisible({ size }) {
              expect(size).toBe(bytes.length);
              throw refusal;
            },
          });
          await expect(refused).rejects.toBe(refusal);
        }
        expectSame(await read(id), old);
      });

      test('a signal stops it', async () => {
        const stop = new AbortController();
        let started: () => void = () => undefined;
        const running = new Promise<void>((resolve) => (started = resolve));
        async function* stuck(): AsyncGenerator<Uint8Array> {
          yield Buffer.alloc(100_000);
          started();
          await new Promise(() => undefined);
        }
        const going = archive.put(id, stuck(), { size: 200_000, signal: stop.signal });
        await running;
        stop.abort();
        await expect(going).rejects.toMatchObject({ code: 'aborted' });
        expectSame(await read(id), old);
      });

      test('exclusive never replaces', async () => {
        await expect(put(id, Buffer.from('new'), { mode: 'exclusive' })).rejects.toMatchObject({ code: 'exists' });
        expectSame(await read(id), old);
        await put(parseArchiveId(1), Buffer.from('new'), { mode: 'exclusive' });
      });

      test('exclusive: of many that race one wins', async () => {
        const fresh = parseArchiveId(777);
        const results = await Promise.allSettled(
          Array.from({ length: 10 }, (_, index) => put(fresh, Buffer.alloc(50_000, index), { mode: 'exclusive' })),
        );
        const winners = results.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
        expect(winners).toHaveLength(1);
        expectSame(await read(fresh), Buffer.alloc(50_000, winners[0]));
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'exists' });
        }
      });

      test('a file that is replaced while it is read is never a mixture', async () => {
        const first = Buffer.alloc(5_000_000, 1);
        await put(id, first);
        const file = await archive.open(id);
        await put(id, Buffer.alloc(5_000_000, 2));
        const got = await collect(file.stream()).catch((error: unknown) => error);
        if (Buffer.isBuffer(got)) expectSame(got, first);
        else expect(got).toMatchObject({ code: 'integrity' });
        await file.close();
      });
    });

    describe('move', () => {
      let path: string;

      beforeEach(async () => {
        path = join(tenant.incoming, 'file');
        await writeFile(path, 'to be moved');
      });

      test('takes a file in', async () => {
        await archive.move(id, path);
        expect((await read(id)).toString()).toBe('to be moved');
        await expect(stat(path)).rejects.toThrow('ENOENT');
      });

      test('exclusive never replaces', async () => {
        await put(id, Buffer.from('old'));
        await expect(archive.move(id, path, { mode: 'exclusive' })).rejects.toMatchObject({ code: 'exists' });
        expect((await read(id)).toString()).toBe('old');
        expect((await readFile(path)).toString()).toBe('to be moved');
        await archive.move(id, path);
        expect((await read(id)).toString()).toBe('to be moved');
      });

      test('refuses what the site does not allow', async () => {
        const secret = join(tenant.outside, 'secret');
        await writeFile(secret, 'secret');
        await symlink(secret, join(tenant.incoming, 'link'));
        await symlink(tenant.outside, join(tenant.incoming, 'way-out'));
        for (const hostile of [
          secret,
          join(tenant.incoming, 'link'),
          join(tenant.incoming, 'way-out', 'secret'),
          '/etc/hostname',
        ]) {
          await expect(archive.move(id, hostile)).rejects.toMatchObject({ code: 'forbidden' });
        }
        await expect(archive.move(id, 'relative')).rejects.toMatchObject({ code: 'invalid' });
        expect((await readFile(secret)).toString()).toBe('secret');
      });

      test('a missing file, a folder', async () => {
        await expect(archive.move(id, join(tenant.incoming, 'nothing'))).rejects.toMatchObject({ code: 'not-found' });
        await mkdir(join(tenant.incoming, 'folder'));
        await expect(archive.move(id, join(tenant.incoming, 'folder'))).rejects.toMatchObject({ code: 'invalid' });
      });
    });

    test('a local path, where there is one, can be read', async () => {
      await put(id, Buffer.from('x'));
      if (archive.localPath === undefined) return;
      expect((await readFile(await archive.localPath(id))).toString()).toBe('x');
    });

    describe('drafts', () => {
      draftsSuite(
        () => archive.drafts,
        async (of) => (await read(of)).toString(),
        (of, text) => put(of, Buffer.from(text)),
      );
    });
  });
}

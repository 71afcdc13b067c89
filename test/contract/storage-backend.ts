import { randomBytes } from 'node:crypto';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ArchiveId, parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { readChunks } from '../../src/lib/random-reader.js';
import {
  canList,
  type Drafts,
  hasDrafts,
  hasLocalPaths,
  type StorageBackend,
} from '../../src/storage/backends/backend.js';
import { collect, expectSame, piecesOf } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { draftsSuite } from './drafts.js';

/** A storage backend made for one test. */
export interface Tenant {
  readonly backend: StorageBackend;
  /** @returns what the backend left lying about: temporary files, empty folders */
  litter(): Promise<string[]>;
  dispose(): Promise<void>;
}

export interface Flags {
  /** ids that are names are taken */
  readonly plainNames: boolean;
}

const MTIME = Date.UTC(1994, 10, 6, 8, 49, 37);

/** What every storage backend must do (src/storage/backends/backend.ts). */
export function storageBackendSuite(name: string, make: () => Promise<Tenant>, flags: Flags): void {
  describe(`storage backend: ${name}`, () => {
    let tenant: Tenant;
    let backend: StorageBackend;
    let folder: string;

    beforeEach(async () => {
      folder = await temporaryFolder();
      tenant = await make();
      backend = tenant.backend;
    });

    afterEach(async () => {
      // whatever a test did, nothing may be left lying about
      const litter = await tenant.litter();
      await backend.close();
      await tenant.dispose();
      await removeFolder(folder);
      expect(litter).toEqual([]);
    });

    const id = parseArchiveId('12345');

    async function read(of: ArchiveId): Promise<Buffer> {
      const file = await backend.open(of);
      try {
        return await collect(readChunks(file));
      } finally {
        await file.close();
      }
    }

    async function put(of: ArchiveId, bytes: Uint8Array, options = {}): Promise<void> {
      await backend.put(of, piecesOf(bytes), { size: bytes.length, ...options });
    }

    async function source(bytes: Uint8Array, file = 'source'): Promise<string> {
      const path = join(folder, file);
      await writeFile(path, bytes, { mode: 0o640 });
      return path;
    }

    describe('put and read', () => {
      test.each([0, 1, 4096, 65_536, 1024 * 1024, 3 * 1024 * 1024 + 17])(
        '%i bytes come back as they went in',
        async (size) => {
          const bytes = randomBytes(size);
          const status = await backend.put(id, piecesOf(bytes), { size, mtimeMs: MTIME });
          expect(status.size).toBe(size);
          expectSame(await read(id), bytes);
          expect(await backend.status(id)).toEqual(status);
        },
      );

      test.each([1, 63, 1000, 16_384, 100_000])('pieces of %i bytes are put together', async (piece) => {
        const bytes = randomBytes(300_000);
        await backend.put(id, piecesOf(bytes, piece));
        expectSame(await read(id), bytes);
      });

      test('the modification time is kept, and is the time of the call when none is given', async () => {
        await put(id, Buffer.from('a'), { mtimeMs: MTIME });
        expect((await backend.status(id)).mtimeMs).toBe(MTIME);
        const before = Date.now();
        await put(id, Buffer.from('b'));
        const { mtimeMs } = await backend.status(id);
        expect(mtimeMs).toBeGreaterThan(before - 2000);
        expect(mtimeMs).toBeLessThan(Date.now() + 2000);
      });

      test('a time before 1970 is kept', async () => {
        await put(id, Buffer.from('a'), { mtimeMs: -86_400_000 });
        expect((await backend.status(id)).mtimeMs).toBe(-86_400_000);
      });

      test('status tells size, levels and media', async () => {
        await put(id, Buffer.from('eighteen bytes....'));
        const status = await backend.status(id);
        expect(status).toMatchObject({ size: 18, bytesPerLevel: [18], media: 'disk' });
        expect(Math.abs(status.ctimeMs - Date.now())).toBeLessThan(60_000);
        expect(status.path).not.toBe('');
      });

      test.each([
        '0',
        '1',
        '255',
        '1234',
        '32768',
        '65536',
        '9223372036854775808',
        '340282366920938463463374607431768211456',
      ])('id %s has a file of its own', async (text) => {
        const own = parseArchiveId(text);
        await put(own, Buffer.from(text));
        await put(parseArchiveId('77'), Buffer.from('other'));
        expect((await read(own)).toString()).toBe(text);
      });

      test('ids that are names', async () => {
        const named = parseArchiveId('foo.txt');
        if (flags.plainNames) {
          await put(named, Buffer.from('named'));
          expect((await read(named)).toString()).toBe('named');
        } else {
          await expect(put(named, Buffer.from('named'))).rejects.toMatchObject({ code: 'invalid' });
          await expect(backend.open(named)).rejects.toMatchObject({ code: 'invalid' });
          await expect(backend.status(named)).rejects.toMatchObject({ code: 'invalid' });
          await expect(backend.delete(named)).rejects.toMatchObject({ code: 'invalid' });
        }
      });

      test('any range can be read, by many at once', async () => {
        const bytes = randomBytes(2 * 1024 * 1024);
        await put(id, bytes);
        const file = await backend.open(id);
        try {
          await Promise.all(
            Array.from({ length: 50 }, async (_, index) => {
              const start = (index * 40_961) % bytes.length;
              const end = Math.min(bytes.length, start + 100_000);
              expectSame(await collect(readChunks(file, start, end, 8192)), bytes.subarray(start, end));
            }),
          );
          expect(await file.read(Buffer.alloc(10), bytes.length)).toBe(0);
          expect(await file.read(Buffer.alloc(10), bytes.length - 3)).toBe(3);
        } finally {
          await file.close();
          await file.close();
        }
      });

      test('many files at once do not mix', async () => {
        const files = Array.from({ length: 40 }, (_, index) => ({
          of: parseArchiveId(index * 1000),
          bytes: Buffer.alloc(200_000 + index, index),
        }));
        await Promise.all(files.map(({ of, bytes }) => put(of, bytes)));
        await Promise.all(files.map(async ({ of, bytes }) => expect((await read(of)).equals(bytes)).toBe(true)));
      });

      test('what is not there is not found, and looking for it makes nothing', async () => {
        for (const look of [
          () => backend.open(id),
          () => backend.status(id),
          () => backend.stage([id]),
          () => backend.delete(id),
        ]) {
          await expect(look()).rejects.toMatchObject({ code: 'not-found' });
        }
      });
    });

    describe('whole or not at all', () => {
      const old = Buffer.from('the old file');

      beforeEach(() => put(id, old));

      async function expectOld(): Promise<void> {
        expectSame(await read(id), old);
      }

      test('a body that is too short or too long is refused', async () => {
        await expect(backend.put(id, piecesOf(Buffer.from('12345')), { size: 100 })).rejects.toMatchObject({
          code: 'invalid',
        });
        await expect(backend.put(id, piecesOf(Buffer.alloc(101)), { size: 100 })).rejects.toMatchObject({
          code: 'invalid',
        });
        await expectOld();
      });

      test('a body that is too long is not read to its end', async () => {
        let sent = 0;
        async function* endless(): AsyncGenerator<Uint8Array> {
          for (;;) {
            sent += 65_536;
            yield Buffer.alloc(65_536);
            await Promise.resolve();
          }
        }
        await expect(backend.put(id, endless(), { size: 1000 })).rejects.toMatchObject({ code: 'invalid' });
        expect(sent).toBeLessThan(1024 * 1024);
      });

      test('a body that breaks leaves the old file, and its error comes out', async () => {
        const failure = new PacificaError('aborted', 'the client hung up');
        async function* broken(): AsyncGenerator<Uint8Array> {
          yield Buffer.alloc(2 * 1024 * 1024, 1);
          await Promise.reject(failure);
        }
        await expect(backend.put(id, broken())).rejects.toBe(failure);
        await expectOld();
      });

      test('a signal stops a body that is stuck', async () => {
        const stop = new AbortController();
        let started: () => void = () => undefined;
        const running = new Promise<void>((resolve) => (started = resolve));
        async function* stuck(): AsyncGenerator<Uint8Array> {
          yield Buffer.alloc(100, 1);
          started();
          await new Promise(() => undefined);
        }
        const going = backend.put(id, stuck(), { signal: stop.signal });
        await running;
        stop.abort();
        await expect(going).rejects.toMatchObject({ code: 'aborted' });
        await expectOld();
      });

      test('the last look before it becomes visible can refuse', async () => {
        const refusal = new PacificaError('integrity', 'wrong digest');
        let seen: unknown;
        const refused = backend.put(id, piecesOf(Buffer.from('new')), {
          mtimeMs: MTIME,
          async beforeVisible(written) {
            seen = written;
            await expectOld();
            throw refusal;
          },
        });
        await expect(refused).rejects.toBe(refusal);
        expect(seen).toMatchObject({ size: 3, mtimeMs: MTIME });
        await expectOld();
      });

      test('what the last look is told is what the file is then', async () => {
        let told: string | undefined;
        const status = await backend.put(id, piecesOf(Buffer.from('new')), {
          beforeVisible: (written) => {
            told = written.etag;
          },
        });
        expect(told ?? status.etag).toBe(status.etag);
        expect(await backend.status(id)).toMatchObject({ etag: status.etag, size: 3 });
      });

      test('a reader keeps the file that it opened', async () => {
        const file = await backend.open(id);
        await put(id, Buffer.from('another one, longer'));
        expectSame(await collect(readChunks(file)), old);
        await backend.delete(id);
        expectSame(await collect(readChunks(file)), old);
        await file.close();
      });

      test('of many that put at once one whole file wins', async () => {
        const bodies = Array.from({ length: 20 }, (_, index) => Buffer.alloc(300_000 + index * 1000, index + 1));
        await Promise.all(bodies.map((body) => put(id, body)));
        const winner = await read(id);
        expect(bodies.some((body) => body.equals(winner))).toBe(true);
      });

      test('exclusive: a taken id is refused before the body is read, and the file is untouched', async () => {
        let read = false;
        async function* body(): AsyncGenerator<Uint8Array> {
          read = true;
          yield Promise.resolve(Buffer.from('x'));
        }
        await expect(backend.put(id, body(), { mode: 'exclusive' })).rejects.toMatchObject({ code: 'exists' });
        expect(read).toBe(false);
        await expectOld();
      });

      test('exclusive: of many that race one wins, the others are told', async () => {
        const fresh = parseArchiveId('54321');
        const bodies = Array.from({ length: 20 }, (_, index) => Buffer.alloc(100_000, index + 1));
        const results = await Promise.allSettled(bodies.map((body) => put(fresh, body, { mode: 'exclusive' })));
        const winners = bodies.filter((_, index) => results[index]?.status === 'fulfilled');
        expect(winners).toHaveLength(1);
        expectSame(await read(fresh), winners[0] ?? Buffer.alloc(0));
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'exists' });
        }
      });
    });

    describe('etag', () => {
      test('differs for another file with the same id, size and time', async () => {
        const seen = new Set<string>();
        for (let turn = 0; turn < 20; turn += 1) {
          await put(id, Buffer.from(String(turn % 10)), { mtimeMs: MTIME });
          seen.add((await backend.status(id)).etag);
          if (turn % 3 === 0) await backend.delete(id);
        }
        expect(seen.size).toBe(20);
      });

      test('stays as long as the file does, and is fit for a header', async () => {
        await put(id, Buffer.from('a'));
        const { etag } = await backend.status(id);
        const file = await backend.open(id);
        expect(file.status.etag).toBe(etag);
        await file.close();
        expect((await backend.status(id)).etag).toBe(etag);
        expect(etag).toMatch(/^[!#-~]+$/);
      });
    });

    describe('delete', () => {
      test('takes the file and its folders away; the second time there is nothing', async () => {
        await put(id, Buffer.from('a'));
        await backend.delete(id);
        await expect(backend.delete(id)).rejects.toMatchObject({ code: 'not-found' });
        await expect(backend.open(id)).rejects.toMatchObject({ code: 'not-found' });
      });

      test('leaves neighbours', async () => {
        const neighbour = parseArchiveId(12345 + 65536);
        await put(id, Buffer.from('a'));
        await put(neighbour, Buffer.from('b'));
        await backend.delete(id);
        expect((await read(neighbour)).toString()).toBe('b');
      });

      test('does not take a folder away from under a put', async () => {
        const others = Array.from({ length: 8 }, (_, index) => parseArchiveId(57 + 256 * (index + 1)));
        for (let turn = 0; turn < 15; turn += 1) {
          await Promise.all(
            others.map(async (other) => {
              await put(other, Buffer.from('x'));
              await backend.delete(other);
            }),
          );
        }
      });
    });

    describe('stage', () => {
      test('takes many; names the first one that is missing', async () => {
        await put(id, Buffer.from('a'));
        await backend.stage([id, id]);
        await expect(backend.stage([id, parseArchiveId(777)])).rejects.toMatchObject({
          code: 'not-found',
          message: expect.stringContaining('777') as string,
        });
      });
    });

    describe('adopt', () => {
      test('the file is in the archive with its time, and gone from where it was', async () => {
        const bytes = randomBytes(200_000);
        const path = await source(bytes);
        const before = await stat(path);
        const status = await backend.adopt(id, path);
        expect(status.size).toBe(bytes.length);
        expectSame(await read(id), bytes);
        expect(Math.abs((await backend.status(id)).mtimeMs - before.mtimeMs)).toBeLessThan(1);
        await expect(stat(path)).rejects.toThrow('ENOENT');
      });

      test('replaces by default, refuses when exclusive', async () => {
        await put(id, Buffer.from('old'));
        const path = await source(Buffer.from('new'));
        await expect(backend.adopt(id, path, { mode: 'exclusive' })).rejects.toMatchObject({ code: 'exists' });
        expect((await read(id)).toString()).toBe('old');
        expect((await readFile(path)).toString()).toBe('new');
        expect((await stat(path)).mode & 0o777).toBe(0o640);
        await backend.adopt(id, path);
        expect((await read(id)).toString()).toBe('new');
      });

      test('what is refused at the last look stays where it was', async () => {
        const path = await source(Buffer.from('new'));
        const refusal = new PacificaError('integrity', 'no');
        await expect(backend.adopt(id, path, { beforeVisible: () => Promise.reject(refusal) })).rejects.toBe(refusal);
        expect((await stat(path)).mode & 0o777).toBe(0o640);
        await expect(backend.status(id)).rejects.toMatchObject({ code: 'not-found' });
      });

      test('a source that is missing, a folder, a symlink', async () => {
        await expect(backend.adopt(id, join(folder, 'nothing'))).rejects.toMatchObject({ code: 'not-found' });
        await mkdir(join(folder, 'folder'));
        await expect(backend.adopt(id, join(folder, 'folder'))).rejects.toMatchObject({ code: 'invalid' });
        await symlink(await source(Buffer.from('a')), join(folder, 'link'));
        await expect(backend.adopt(id, join(folder, 'link'))).rejects.toMatchObject({ code: 'invalid' });
        expect((await readFile(join(folder, 'source'))).toString()).toBe('a');
      });

      test('of many that race for one id exclusively one wins, the others keep their files', async () => {
        const paths = await Promise.all(
          Array.from({ length: 10 }, (_, index) => source(Buffer.from([index]), `s${index}`)),
        );
        const results = await Promise.allSettled(paths.map((path) => backend.adopt(id, path, { mode: 'exclusive' })));
        const winner = results.findIndex(({ status }) => status === 'fulfilled');
        expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        expect([...(await read(id))]).toEqual([winner]);
        for (const [index, path] of paths.entries()) {
          if (index !== winner) expect([...(await readFile(path))]).toEqual([index]);
        }
      });
    });

    test('a listing has every file once, and nothing else', async (context) => {
      if (!canList(backend)) {
        context.skip('this backend can not list');
        return;
      }
      const ids = [0, 7, 255, 256, 1234, 12345, 65536, 2n ** 63n, ...(flags.plainNames ? ['foo.txt'] : [])];
      const expected = ids.map((of) => parseArchiveId(of));
      for (const of of expected) await put(of, Buffer.from('bytes'));
      await put(id, Buffer.from('deleted'));
      await backend.delete(id);
      if (hasDrafts(backend)) {
        const draft = await backend.drafts.create('job-1', '9');
        await draft.write(Buffer.from('no file yet'));
        await draft.finish(MTIME);
      }
      const listed: ArchiveId[] = [];
      for await (const of of backend.list()) listed.push(of);
      expect(listed.sort()).toEqual(expected.filter((of) => of !== id).sort());
      if (hasDrafts(backend)) await backend.drafts.removeGroup('job-1');
    });

    test('local paths lead to the bytes', async () => {
      if (!hasLocalPaths(backend)) return;
      await put(id, Buffer.from('here'));
      expect((await readFile(await backend.localPath(id))).toString()).toBe('here');
      await expect(backend.localPath(parseArchiveId(1))).rejects.toMatchObject({ code: 'not-found' });
    });

    describe('drafts', () => {
      let drafts: Drafts;

      beforeEach((context) => {
        if (!hasDrafts(backend)) context.skip('this backend has none');
        else drafts = backend.drafts;
      });

      afterEach(async () => {
        for (const group of await drafts.groups()) await drafts.removeGroup(group);
      });

      draftsSuite(
        () => drafts,
        async (of) => (await read(of)).toString(),
        async (of, text) => put(of, Buffer.from(text)),
      );

      test('publish keeps time and makes read-only', async () => {
        const draft = await drafts.create('job-1', '0');
        await draft.write(Buffer.from('bytes'));
        await draft.finish(MTIME);
        await drafts.publish('job-1', '0', id);
        expect((await backend.status(id)).mtimeMs).toBe(MTIME);
      });
    });
  });
}

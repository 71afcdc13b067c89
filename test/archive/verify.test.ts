import { execFileSync } from 'node:child_process';
import { appendFileSync, statSync } from 'node:fs';
import { chmod, mkdir, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileRecords } from '../../src/archive/file-records.js';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { ArchiveVerifier, type Finding, type VerifyOptions, type VerifyResult } from '../../src/archive/verify.js';
import { everyFile, parseSelection } from '../../src/archive/verify-selection.js';
import { type ArchiveId, parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { StoredFile } from '../../src/storage/backends/backend.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { ArchiveFiles } from '../../src/storage/database/archive-files.js';
import { VerifyRuns } from '../../src/storage/database/archive-verify.js';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { databaseKinds } from '../support/databases.js';
import { overriding } from '../support/overriding.js';
import { piecesOf } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

const kinds = await databaseKinds();
const one = parseArchiveId('1');

describe.each(kinds)('verifying the archive, records on $name', (kind) => {
  let folder: string;
  let root: string;
  let database: Database;
  let tables: ArchiveFiles;
  let runs: VerifyRuns;
  let backend: PosixBackend;
  let archive: LocalArchive;
  let findings: Finding[];

  beforeEach(async (context) => {
    if (!kind.available) context.skip();
    folder = await temporaryFolder();
    root = join(folder, 'archive');
    await mkdir(root);
    database = await Database.open(await kind.create());
    await syncSchema(database);
    tables = new ArchiveFiles(database);
    runs = new VerifyRuns(database);
    backend = new PosixBackend(root, { useId2filename: false });
    archive = new LocalArchive({ backend, records: { tables, checksum: 'sha256', onProblem: fail } });
    findings = [];
  });

  afterEach(async () => {
    await archive.close();
    await database.close();
    await removeFolder(folder);
  });

  function fail(error: unknown): never {
    throw error;
  }

  async function put(id: string | number, content: string): Promise<ArchiveId> {
    const parsed = parseArchiveId(id);
    await archive.put(parsed, piecesOf(Buffer.from(content)), { mtimeMs: 1_500_000_000_000 });
    // what is settled afterwards is
    await tables.close();
    return parsed;
  }

  /** Changes a byte behind the archive's back, without a trace in size and time. */
  async function rot(id: ArchiveId): Promise<void> {
    const path = join(root, id);
    await chmod(path, 0o644);
    const { mtimeNs } = statSync(path, { bigint: true });
    execFileSync('dd', [`of=${path}`, 'bs=1', 'count=1', 'conv=notrunc', 'if=/dev/zero', 'status=none']);
    execFileSync('touch', [
      '-d',
      `@${mtimeNs / 1_000_000_000n}.${String(mtimeNs % 1_000_000_000n).padStart(9, '0')}`,
      path,
    ]);
  }

  const listening = (): VerifyOptions => ({ onFinding: (finding) => findings.push(finding) });

  function verifier(storage: PosixBackend = backend): ArchiveVerifier {
    return new ArchiveVerifier({ backend: storage, tables, runs });
  }

  function all(
    options: Partial<VerifyOptions> & { resume?: boolean } = {},
    storage?: PosixBackend,
  ): Promise<VerifyResult> {
    return verifier(storage).selection(everyFile, { ...listening(), resume: false, ...options });
  }

  /** A storage that does something when a file was opened, before its first byte is read. */
  function onOpen(act: (id: ArchiveId) => Promise<void>): PosixBackend {
    return overriding(backend, {
      async openUncached(id: ArchiveId): Promise<StoredFile> {
        const file = await backend.openUncached(id);
        await act(id);
        return file;
      },
    });
  }

  const reasons = (): Record<string, string> => Object.fromEntries(findings.map(({ id, reason }) => [id, reason]));

  test('finds nothing wrong with what was put, replaced, moved and published', async () => {
    await put(1, 'one');
    await put(2, 'two');
    await put(2, 'two again');
    await put('empty', '');
    await archive.move(parseArchiveId(5), join(root, '2'));
    const draft = await archive.drafts.create('group', 'draft');
    await draft.write(Buffer.from('draft'));
    await draft.finish(0);
    await archive.drafts.publish('group', 'draft', parseArchiveId(6));
    expect(await all()).toMatchObject({ files: 4, bytes: 17, damaged: 0, complete: true });
    // published without a checksum
    expect(findings).toMatchObject([{ id: '6', reason: 'unrecorded' }]);
  });

  test('tells every damage with its reason, and goes on', async () => {
    for (let id = 1; id <= 9; id += 1) await put(id, `file number ${id}`);
    await rot(parseArchiveId(2));
    await rm(join(root, '3'));
    await chmod(join(root, '4'), 0o644);
    await truncate(join(root, '4'), 5);
    // of the same size, with another time
    await chmod(join(root, '5'), 0o644);
    await writeFile(join(root, '5'), 'FILE NUMBER 5');
    await rename(join(root, '6'), join(root, '7'));
    await writeFile(join(root, 'foreign'), 'nobody put it');
    const broken = overriding(backend, {
      async openUncached(id: ArchiveId): Promise<StoredFile> {
        const file = await backend.openUncached(id);
        if (id !== '8') return file;
        return overriding(file, { read: () => Promise.reject(new PacificaError('internal', 'EIO: i/o error')) });
      },
    });
    expect(await all({}, broken)).toMatchObject({ files: 10, damaged: 7, unrecorded: 1, complete: true });
    expect(reasons()).toEqual({
      2: 'digest',
      3: 'missing',
      4: 'size',
      5: 'digest',
      6: 'missing',
      7: 'digest',
      8: 'unreadable',
      foreign: 'unrecorded',
    });
    expect(findings[0]).toMatchObject({ path: join(root, '2'), detail: expect.stringContaining('sha256') as string });
    expect((await runs.knownDamage()).map(({ id }) => id)).toEqual(['2', '3', '4', '5', '6', '7', '8']);
  });

  test('forgets damage when the file is good again, or deleted', async () => {
    for (const id of [1, 2]) await rot(await put(id, 'rots away'));
    await all();
    expect(await runs.knownDamage()).toHaveLength(2);
    await put(1, 'put again');
    await archive.delete(parseArchiveId(2));
    await tables.close();
    expect(await verifier().ids([one], listening())).toMatchObject({ damaged: 0 });
    expect((await runs.knownDamage()).map(({ id }) => id)).toEqual(['2']);
    await all();
    expect(await runs.knownDamage()).toEqual([]);
  });

  test('takes a file for good that lies on another disk now, with its times or without', async () => {
    await put(1, 'copied');
    await put(2, 'copied');
    execFileSync('cp', ['-p', join(root, '1'), join(root, 'copy')]);
    await rename(join(root, 'copy'), join(root, '1'));
    execFileSync('cp', [join(root, '2'), join(root, 'copy')]);
    await rename(join(root, 'copy'), join(root, '2'));
    expect(await all()).toMatchObject({ files: 2, damaged: 0, unrecorded: 0 });
  });

  test('tells a file that was asked for and is nowhere', async () => {
    await put(1, 'one');
    expect(await verifier().ids([parseArchiveId(404), one], listening())).toMatchObject({ files: 2, damaged: 1 });
    expect(findings).toMatchObject([{ id: '404', reason: 'missing' }]);
    expect(await runs.knownDamage()).toEqual([]);
  });

  describe('while others work', () => {
    test('a file that is replaced while it is read is no damage', async () => {
      await put(1, 'the old one');
      let replaced = false;
      const busy = onOpen(async () => {
        if (replaced) return;
        replaced = true;
        await put(1, 'a new one of another length');
      });
      expect(await all({}, busy)).toMatchObject({ damaged: 0, unrecorded: 0 });
    });

    test('nor is one that is deleted while it is read, or right before, or put again', async () => {
      for (const id of ['1', '2', '3']) await put(id, 'here');
      const busy = overriding(backend, {
        async openUncached(id: ArchiveId): Promise<StoredFile> {
          if (id === '2') await archive.delete(id).catch(() => undefined);
          const file = await backend.openUncached(id);
          if (id === '1') await archive.delete(id);
          if (id === '3') {
            await archive.delete(id);
            await put(id, 'something else');
          }
          return file;
        },
      });
      // on record as it was asked for, and gone when it was to be read
      const verifying = new ArchiveVerifier({ backend: busy, tables, runs });
      const result = await verifying.selection(everyFile, { ...listening(), resume: false });
      expect(findings).toEqual([]);
      expect(result).toMatchObject({ damaged: 0, complete: true });
    });

    test('a file that was damaged and is replaced while it is read is no damage any more', async () => {
      await rot(await put(1, 'rotten'));
      let replaced = false;
      const busy = onOpen(async () => {
        if (!replaced) await put(1, 'whole and new');
        replaced = true;
      });
      expect(await all({}, busy)).toMatchObject({ files: 1, damaged: 0 });
    });
  });

  describe('after a crash', () => {
    const file = { version: null, mtime: 1, algorithm: 'sha256', digest: 'f'.repeat(64) };

    test('what was announced and never became visible is nothing', async () => {
      await tables.announce({ id: parseArchiveId(7), size: 3, ...file });
      await put(1, 'the old one');
      await tables.announce({ id: one, size: 3, ...file });
      expect(await all()).toMatchObject({ files: 1, damaged: 0, unrecorded: 0 });
    });

    test('a file that became visible without being settled is as good as any, and its record is mended', async () => {
      await put(1, 'the old one');
      const crashing = new LocalArchive({
        backend,
        records: {
          tables: overriding(tables, { settle: () => new Promise<void>(() => undefined) }),
          checksum: 'sha256',
          onProblem: fail,
        },
      });
      await crashing.put(one, piecesOf(Buffer.from('a new one, longer')));
      expect(await all()).toMatchObject({ files: 1, damaged: 0, unrecorded: 0 });
      expect((await tables.find(one)).map(({ state }) => state).sort()).toEqual(['pending', 'settled']);
      // as an hour later
      await database.sequelize.query('UPDATE pacifica_archive_file SET changed = 0');
      expect(await all()).toMatchObject({ files: 1, damaged: 0 });
      expect((await tables.find(one)).map(({ state }) => state)).toEqual(['settled', 'settled']);
    });

    test('a file whose deletion was begun only is still good', async () => {
      await put(1, 'still here');
      await tables.deleting(one, (await backend.status(one)).etag);
      expect(await all()).toMatchObject({ files: 1, damaged: 0, unrecorded: 0 });
    });
  });

  describe('adopting', () => {
    const sum = (path: string): string => execFileSync('sha256sum', [path], { encoding: 'utf8' }).slice(0, 64);
    const recorded = async (id: ArchiveId): Promise<string | undefined> => {
      const fresh = new FileRecords(new ArchiveFiles(database), fail);
      return (await fresh.checksumOf(id, await backend.status(id)))?.sum;
    };

    test('puts the checksum of an unrecorded file on record, and compares with it from then on', async () => {
      await writeFile(join(root, 'old'), 'of an archive of before');
      const old = parseArchiveId('old');
      expect(await all()).toMatchObject({ unrecorded: 1, adopted: 0 });
      expect(await recorded(old)).toBeUndefined();
      expect(await all({ adopt: 'sha256' })).toMatchObject({ unrecorded: 1, adopted: 1 });
      expect(await recorded(old)).toBe(sum(join(root, 'old')));
      expect(findings.at(-1)).toMatchObject({ adopted: { type: 'sha256', sum: sum(join(root, 'old')) } });
      expect(await all({ adopt: 'sha256' })).toMatchObject({ files: 1, unrecorded: 0 });
      await rot(old);
      expect(await all({ adopt: 'sha256' })).toMatchObject({ damaged: 1, adopted: 0 });
    });

    test('gives a file that was put without a checksum one', async () => {
      const without = new LocalArchive({ backend, records: { tables, checksum: 'none', onProblem: fail } });
      await without.put(one, piecesOf(Buffer.from('unhashed')));
      await tables.close();
      expect(await all()).toMatchObject({ files: 1, bytes: 8, unrecorded: 1 });
      expect(await all({ adopt: 'sha256' })).toMatchObject({ adopted: 1 });
      expect(await recorded(one)).toBe(sum(join(root, '1')));
      await chmod(join(root, '1'), 0o644);
      await truncate(join(root, '1'), 3);
      expect(await all({ adopt: 'sha256' })).toMatchObject({ damaged: 1 });
    });

    test('never takes the checksum of a file that is replaced meanwhile for that of the new one', async () => {
      const without = new LocalArchive({ backend });
      await without.put(one, piecesOf(Buffer.from('the old one')));
      let replaced = false;
      const busy = onOpen(async (id) => {
        if (replaced) return;
        replaced = true;
        await without.put(id, piecesOf(Buffer.from('the new one')));
      });
      await all({ adopt: 'sha256' }, busy);
      expect(await recorded(one)).toBe(sum(join(root, '1')));
      await put(1, 'put with a record');
      expect(await recorded(one)).toBe(sum(join(root, '1')));
      expect(await all()).toMatchObject({ damaged: 0, unrecorded: 0 });
    });

    test('leaves no record of a file that is deleted right after it was read', async () => {
      await writeFile(join(root, '1'), 'soon gone');
      const busy = overriding(tables, {
        async announce(record) {
          // another process, that had written down that it deletes before there was anything to write it to
          await rm(join(root, '1'));
          return tables.announce(record);
        },
      });
      const verifying = new ArchiveVerifier({ backend, tables: busy, runs });
      await verifying.selection(everyFile, { ...listening(), resume: false, adopt: 'sha256' });
      expect(await all()).toMatchObject({ files: 0, damaged: 0 });
      await database.sequelize.query('UPDATE pacifica_archive_file SET changed = 0');
      expect(await all()).toMatchObject({ files: 0, damaged: 0 });
      expect(await tables.find(one)).toEqual([]);
    });

    test('does not take a file that somebody is still writing in its place', async () => {
      await writeFile(join(root, '1'), 'be');
      const writing = onOpen(async () => appendFileSync(join(root, '1'), 'more'));
      expect(await all({ adopt: 'sha256' }, writing)).toMatchObject({ unrecorded: 1, adopted: 0 });
      expect(await tables.find(one)).toEqual([]);
    });
  });

  describe('in parts', () => {
    async function many(count: number): Promise<string[]> {
      const ids = Array.from({ length: count }, (_, index) => String(index + 1));
      for (const id of ids) await put(id, `file ${id}`);
      return ids;
    }
    const counting = (seen: string[]): PosixBackend =>
      onOpen(async (id) => {
        seen.push(id);
        await Promise.resolve();
      });

    test('goes on where it was stopped, and looks at nothing twice', async () => {
      const ids = await many(40);
      await writeFile(join(root, 'foreign'), 'unrecorded');
      const first: string[] = [];
      const stop = new AbortController();
      const onCounts = ({ files }: { files: number }): void => {
        if (files === 10) stop.abort(new PacificaError('aborted', 'interrupted'));
      };
      await expect(all({ onCounts, signal: stop.signal }, counting(first))).rejects.toMatchObject({ code: 'aborted' });
      const stopped = await runs.find('all');
      expect(stopped).toMatchObject({ ended: null });
      expect(stopped?.files).toBeLessThan(20);

      const second: string[] = [];
      expect(await all({ resume: true }, counting(second))).toMatchObject({ files: 41, complete: true });
      const whole = new Set([...first, ...second]);
      expect([...whole].sort()).toEqual([...ids, 'foreign'].sort());
      // those that were being read when it stopped are read again
      expect(first.length + second.length - whole.size).toBeLessThanOrEqual(4);

      const third: string[] = [];
      expect(await all({ resume: true }, counting(third))).toMatchObject({ files: 41 });
      expect(third).toHaveLength(41);
    });

    test('begins no file after the time is up, and ends well', async () => {
      await many(5);
      expect(await all({ deadline: -1 })).toMatchObject({ files: 0, complete: false });
      expect(await all({ resume: true })).toMatchObject({ files: 5, complete: true });
      expect(await verifier().ids([one], { ...listening(), deadline: -1 })).toMatchObject({ complete: false });
    });

    test('a run that another process takes over writes nothing any more', async () => {
      await many(3);
      const run = await runs.begin('all', { resume: false });
      const other = await runs.begin('all', { resume: true });
      await expect(runs.save({ ...run, files: 99 })).rejects.toMatchObject({ code: 'aborted' });
      await runs.save({ ...other, files: 1 });
      expect(await runs.find('all')).toMatchObject({ files: 1 });
    });

    test('30 nights see every file once', async () => {
      const ids = await many(120);
      const seen: string[] = [];
      for (let night = 1; night <= 30; night += 1) {
        const selection = parseSelection(`${night}/30`);
        await verifier(counting(seen)).selection(selection, { ...listening(), resume: false });
      }
      expect(seen.sort()).toEqual(ids.sort());
    });

    test('a size is never gone beyond, and a percentage is another choice each time', async () => {
      await many(60);
      const bytes = parseSelection('100');
      const result = await verifier().selection(bytes, { ...listening(), resume: false });
      expect(result.bytes).toBeLessThanOrEqual(100);
      expect(result.bytes).toBeGreaterThan(0);
      expect(await verifier().selection(parseSelection('1T'), { ...listening(), resume: false })).toMatchObject({
        files: 60,
      });
      const [first, second]: [string[], string[]] = [[], []];
      for (const seen of [first, second]) {
        await verifier(counting(seen)).selection(parseSelection('50%'), { ...listening(), resume: false });
      }
      expect(first.length).toBeGreaterThan(0);
      expect(first.length).toBeLessThan(60);
      expect(second).not.toEqual(first);
    });
  });

  test('does not read faster than it may', async () => {
    for (const id of ['1', '2', '3', '4']) await put(id, 'x'.repeat(25_000));
    const begun = performance.now();
    await all({ rate: 200_000 });
    // a bound that holds however slow the machine is
    expect(performance.now() - begun).toBeGreaterThanOrEqual(490);
  });

  test('does not call every file missing when the storage is not there', async () => {
    expect(await all()).toMatchObject({ files: 0, complete: true });
    await put(1, 'one');
    await rename(root, join(folder, 'unmounted'));
    await expect(all()).rejects.toMatchObject({ code: 'not-found' });
    expect(findings).toEqual([]);
    await rename(join(folder, 'unmounted'), root);
    await utimes(root, 0, 0);
  });
});

describe('which files', () => {
  test.each(['0/30', '31/30', '3/0', '-1/3', '101%', '0%', 'x%', '', '0', 'five', '5 %%', '3/30/2'])(
    '%j is refused',
    (text) => {
      expect(() => parseSelection(text)).toThrow(/does not say which files/);
    },
  );
});

import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Archive } from '../../src/archive/archive.js';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { RemoteArchive } from '../../src/archive/remote-archive.js';
import { archiveApp } from '../../src/daemon/archive.js';
import type { IngestSettings } from '../../src/ingest/parts.js';
import type { StateRecord } from '../../src/ingest/state.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { IngestService } from '../../src/ingest/service.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { startApp } from '../support/app.js';
import {
  fileEntry,
  incomingFile,
  INGEST_SETTINGS,
  type IngestSite,
  startIngest,
  TRANSACTION,
} from '../support/ingest.js';
import { silent } from '../support/log.js';
import { otherFileSystem } from '../support/other-file-system.js';
import { overriding } from '../support/overriding.js';
import type { TestServer } from '../support/server.js';
import { collect, piecesOf } from '../support/streams.js';
import { until } from '../support/until.js';

let site: IngestSite;
beforeEach(async () => {
  site = await startIngest();
});
afterEach(() => site.close());

type Entry = Record<string, unknown>;

async function submit(entries: readonly Entry[], service = site.service): Promise<number> {
  const body = Buffer.from(JSON.stringify([...TRANSACTION, ...entries]));
  return (await service.move(piecesOf(body, 1000), { user: 'root' })).record.job_id;
}

async function move(entries: readonly Entry[], archive: Archive = site.archive): Promise<StateRecord> {
  const service = site.another({ archive });
  const jobId = await submit(entries, service);
  await site.run(jobId, service);
  return site.state(jobId);
}

async function files(names: readonly string[]): Promise<Entry[]> {
  return Promise.all(names.map((name) => incomingFile(site, name, `content of ${name}`)));
}

/** Nothing was moved: every file is where it was, as it was. */
async function expectUntouched(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(site.incoming, name);
    expect(await readFile(path, 'utf8')).toBe(`content of ${name}`);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
  }
  expect(await site.visible()).toEqual([]);
}

const NAMES = ['a', 'b', 'sub/c', 'sub/d', 'e', 'f'];

async function prepared(): Promise<Entry[]> {
  const entries = await files(NAMES);
  for (const name of NAMES) await chmod(join(site.incoming, name), 0o640);
  return entries;
}

it('takes the files in: gone where they were, in archive and metadata as they were', async () => {
  const entries = await prepared();
  const { mtimeMs } = await stat(join(site.incoming, 'sub/c'));
  const state = await move(entries);
  expect(state).toMatchObject({ state: 'OK', task: 'ingest metadata', task_percent: '100.00000', complete: true });
  const found = await site.catalog.metadata.files({ transaction: state.job_id });
  expect(found).toHaveLength(NAMES.length);
  for (const { _id, name, subdir } of found) {
    const path = subdir === '' ? name : `${subdir}/${name}`;
    const file = await site.archive.open(parseArchiveId(_id));
    expect((await collect(file.stream())).toString()).toBe(`content of ${path}`);
    if (path === 'sub/c') expect(file.status.mtimeMs).toBeCloseTo(mtimeMs, 0);
    await file.close();
  }
  expect(await readdir(site.incoming)).toEqual(['sub']);
  expect(await site.leftovers()).toEqual([]);
});

describe('fault 27: everything is checked before the first file is moved', () => {
  it.each<[string, (entry: Entry) => Entry, RegExp]>([
    [
      'a wrong hash',
      (entry) => ({ ...entry, hashsum: '0'.repeat(40) }),
      /data\/f: the metadata says sha1 0{40}, \S+\/f has [0-9a-f]{40}/,
    ],
    ['a wrong size', (entry) => ({ ...entry, size: 3 }), /data\/f: the metadata says 3 bytes, \S+\/f has 12/],
    ['no such file', (entry) => ({ ...entry, source: `${String(entry.source)}-not` }), /there is no file \S+\/f-not/],
    ['a folder', (entry) => ({ ...entry, source: join(String(entry.source), '../sub') }), /sub is not a regular file/],
    ['a path outside', (entry) => ({ ...entry, source: '/etc/passwd' }), /may not be taken in from \/etc\/passwd/],
    [
      'a path that leads out',
      (entry) => ({ ...entry, source: `${String(entry.source)}/../../archive/x` }),
      /may not be taken|no file/,
    ],
    [
      'a source twice',
      (entry) => ({ ...entry, source: join(String(entry.source), '../a') }),
      /source \S+\/a is named twice/,
    ],
  ])('%s: FAILED, all files stay', async (_what, change, message) => {
    const entries = await prepared();
    const state = await move(entries.map((entry) => (entry.name === 'f' ? change(entry) : entry)));
    expect(state).toMatchObject({ state: 'FAILED', task: 'move files', complete: true });
    expect(state.exception).toMatch(message);
    await expectUntouched(NAMES);
    expect((await site.service.job(state.job_id)).firstFileId).toBeNull();
  });

  it('a symbolic link is no file', async () => {
    const entries = await prepared();
    await symlink('/etc/passwd', join(site.incoming, 'link'));
    const passwd = await readFile('/etc/passwd');
    const entry = { ...fileEntry('g', passwd), source: join(site.incoming, 'link') };
    const state = await move([...entries, entry]);
    expect(state).toMatchObject({ state: 'FAILED' });
    await expectUntouched(NAMES);
  });

  it('a file that the archive has already stays what it is: its id is known to others', async () => {
    const entry = fileEntry('mine', 'of another');
    await site.archive.put(parseArchiveId(7), piecesOf(Buffer.from('of another'), 3));
    const source = join(site.folder, 'archive', '7');
    const state = await move([{ ...entry, source }]);
    expect(state).toMatchObject({ state: 'FAILED', task: 'move files' });
    expect(state.exception).toContain(`data/mine: ${source} is file 7 of the archive already`);
    expect(await site.visible()).toEqual(['7']);
    expect(await readFile(source, 'utf8')).toBe('of another');
  });

  it('tells nothing of a file that may not be moved', async () => {
    const state = await move([{ ...fileEntry('x', 'x'), source: '/etc/passwd' }]);
    expect(state.exception).not.toMatch(/[0-9a-f]{40}|bytes/);
  });

  it('two files of one path', async () => {
    const entries = await prepared();
    const state = await move(entries.map((entry) => (entry.name === 'b' ? { ...entry, name: 'a' } : entry)));
    expect(state.exception).toContain('data/a: is named by the metadata twice');
    await expectUntouched(NAMES);
  });

  it('tells all that is wrong', async () => {
    const entries = await prepared();
    const state = await move(entries.map((entry) => ({ ...entry, size: 1 })));
    expect(state.exception.split('\n')).toHaveLength(NAMES.length);
  });
});

describe('the limits of the site', () => {
  it.each<[string, Partial<IngestSettings>, { code: string; message: RegExp }]>([
    ['of files', { memberLimit: 5 }, { code: 'too-large', message: /more than the 5 files/ }],
    [
      'of a path, all of them told',
      { pathLimit: 9 },
      {
        code: 'invalid',
        message: /^data\/sub\/c: its path has 10 bytes, 9 are taken.*\ndata\/sub\/d: its path has 10/,
      },
    ],
    [
      'of the metadata',
      { metadataLimit: 1000 },
      { code: 'too-large', message: /metadata is larger than the .* that are taken/ },
    ],
  ])('%s: refused, and there is no job', async (_what, settings, { code, message }) => {
    const entries = await prepared();
    const service = site.another({ settings: { ...INGEST_SETTINGS, ...settings } });
    const error = await submit(entries, service).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(await site.store.list({ limit: 1 })).toEqual([]);
    expect(await site.leftovers()).toEqual([]);
    await expectUntouched(NAMES);
  });
});

describe('a failure in the middle', () => {
  /** An archive that refuses the n-th file. */
  function refusing(name: string, error = new PacificaError('forbidden', 'not this one')): Archive {
    return overriding<Archive>(site.archive, {
      async move(id, path, options) {
        if (path.endsWith(`/${name}`)) throw error;
        await site.archive.move(id, path, options);
      },
    });
  }

  it('puts back what was moved, with its permissions', async () => {
    const state = await move(await prepared(), refusing('f'));
    expect(state).toMatchObject({ state: 'FAILED', task: 'move files', exception: 'not this one' });
    await expectUntouched(NAMES);
    expect(await site.catalog.metadata.files({ transaction: state.job_id })).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('puts back what was copied from another file system, as it was', async () => {
    const far = await mkdtemp(join(otherFileSystem(), 'pacifica-move-'));
    const backend = new PosixBackend(join(site.folder, 'archive'), { useId2filename: false });
    const archive = new LocalArchive({ backend, moveRoots: [far] });
    const entries: Entry[] = [];
    for (const name of ['a', 'b']) {
      const source = join(far, name);
      await writeFile(source, `content of ${name}`, { mode: 0o640 });
      await utimes(source, 784_111_777, 784_111_777);
      entries.push({ ...fileEntry(name, `content of ${name}`), source });
    }
    const moved: string[] = [];
    const refusing = overriding<Archive>(archive, {
      async move(id, path, options) {
        // when the other one is in the archive
        if (path.endsWith('/b')) await until('the copy', () => moved.length > 0);
        if (path.endsWith('/b')) throw new PacificaError('forbidden', 'not this one');
        await archive.move(id, path, options);
        moved.push(path);
      },
    });
    const state = await move(entries, refusing);
    expect(state).toMatchObject({ state: 'FAILED', task: 'move files', exception: 'not this one' });
    expect(moved).toEqual([join(far, 'a')]);
    expect((await readdir(far)).sort()).toEqual(['a', 'b']);
    const { mode, mtimeMs } = await stat(join(far, 'a'));
    expect([mode & 0o7777, mtimeMs]).toEqual([0o640, 784_111_777_000]);
    expect(await readFile(join(far, 'a'), 'utf8')).toBe('content of a');
    expect(await site.visible()).toEqual([]);
    await archive.close();
    await rm(far, { recursive: true });
  });

  it('never puts a file back over another one, and says so', async () => {
    const entries = await prepared();
    const path = join(site.incoming, 'a');
    const archive = overriding<Archive>(site.archive, {
      async move(id, source, options) {
        if (source.endsWith('/f')) {
          await writeFile(path, 'somebody was faster');
          throw new PacificaError('forbidden', 'not this one');
        }
        await site.archive.move(id, source, options);
      },
    });
    const state = await move(entries, archive);
    expect(state.exception).toMatch(
      /^not this one\ndata\/a: is file \d+ of the archive now, since another file is at its old place$/,
    );
    expect(await readFile(path, 'utf8')).toBe('somebody was faster');
    const [kept] = await site.visible();
    expect(await readFile(join(site.folder, 'archive', kept ?? ''), 'utf8')).toBe('content of a');
    expect(await site.visible()).toHaveLength(1);
    // the place is free again: another try takes all of them in
    await unlink(path);
    await site.service.retry(state.job_id);
    await site.run(state.job_id);
    expect(await site.state(state.job_id)).toMatchObject({ state: 'OK', exception: '' });
    expect(await site.visible()).toHaveLength(NAMES.length);
  });

  it('passes on another try, under the same ids', async () => {
    const state = await move(await prepared(), refusing('f'));
    const { firstFileId } = await site.service.job(state.job_id);
    await site.service.retry(state.job_id);
    await site.run(state.job_id);
    expect(await site.state(state.job_id)).toMatchObject({ state: 'OK', task: 'ingest metadata' });
    const found = await site.catalog.metadata.files({ transaction: state.job_id });
    expect(Math.min(...found.map(({ _id }) => _id))).toBe(firstFileId);
    expect(await readdir(site.incoming)).toEqual(['sub']);
  });

  it('waits where it may pass, and goes on with what is left', async () => {
    const entries = await prepared();
    const down = site.another({ archive: refusing('e', new PacificaError('unavailable', 'busy')) });
    const jobId = await submit(entries);
    await expect(site.run(jobId, down)).rejects.toThrow('busy');
    expect(await site.state(jobId)).toMatchObject({ state: 'OK', task: 'move files', exception: 'waiting: busy' });
    await site.run(jobId);
    expect(await site.state(jobId)).toMatchObject({ state: 'OK', complete: true, exception: '' });
    expect(await site.visible()).toHaveLength(NAMES.length);
  });

  it('a file that changes after it was checked is not taken', async () => {
    const entries = await prepared();
    const archive = overriding<Archive>(site.archive, {
      async move(id, source, options) {
        if (source.endsWith('/a')) await writeFile(join(site.incoming, 'f'), 'changed');
        await site.archive.move(id, source, options);
      },
    });
    const state = await move(entries, archive);
    expect(state.exception).toMatch(/\/f was changed after it was checked/);
    expect(await site.visible()).toEqual([]);
    expect(await readFile(join(site.incoming, 'f'), 'utf8')).toBe('changed');
  });
});

describe('killed in the middle of it', () => {
  it.each(['before', 'after'] as const)('%s any of its moves: goes on', async (when) => {
    for (let at = 1; at <= 2; at += 1) {
      const entries = await files([`${when}${at}/x`, `${when}${at}/y`]);
      let moves = 0;
      const mortal = site.another({
        archive: overriding<Archive>(site.archive, {
          async move(id, source, options) {
            moves += 1;
            const isLast = moves >= at;
            if (!isLast || when === 'after') await site.archive.move(id, source, options);
            if (isLast) throw new PacificaError('unavailable', 'killed');
          },
        }),
      });
      const jobId = await submit(entries);
      await site.run(jobId, mortal).catch(() => undefined);
      await site.run(jobId);
      expect(await site.state(jobId)).toMatchObject({ state: 'OK', complete: true });
      expect(await site.catalog.metadata.files({ transaction: jobId })).toHaveLength(2);
    }
    // no file is in the archive twice, none is left
    expect(await site.visible()).toHaveLength(4);
  });

  it('between the copy and the removal of a source that could not be renamed', async () => {
    const [entry] = await files(['hard']);
    const source = join(site.incoming, 'hard');
    const { mtime } = await lstat(source);
    const jobId = await submit([entry ?? {}]);
    const mortal = site.another({
      archive: overriding<Archive>(site.archive, {
        async move(id) {
          await site.archive.put(id, piecesOf(await readFile(source)), { mtimeMs: mtime.getTime() });
          throw new PacificaError('unavailable', 'killed');
        },
      }),
    });
    await site.run(jobId, mortal).catch(() => undefined);
    await site.run(jobId);
    expect(await site.state(jobId)).toMatchObject({ state: 'OK', complete: true });
    expect(await site.visible()).toHaveLength(1);
    await expect(lstat(source)).rejects.toThrow('ENOENT');
  });

  it('while files go back: the rest goes back', async () => {
    const entries = await prepared();
    let deletes = 0;
    const archive = overriding<Archive>(site.archive, {
      async move(id, source, options) {
        if (source.endsWith('/f')) throw new PacificaError('forbidden', 'no');
        await site.archive.move(id, source, options);
      },
      async delete(id) {
        deletes += 1;
        if (deletes === 2) throw new PacificaError('unavailable', 'killed');
        await site.archive.delete(id);
      },
    });
    const jobId = await submit(entries);
    const service = site.another({ archive });
    await expect(site.run(jobId, service)).rejects.toThrow('killed');
    expect((await site.state(jobId)).state).toBe('OK');
    await site.run(jobId);
    expect(await site.state(jobId)).toMatchObject({ state: 'FAILED', exception: 'no' });
    await expectUntouched(NAMES);
  });
});

it('a file with a second name is copied, not shared', async () => {
  const [entry] = await files(['hard']);
  await link(join(site.incoming, 'hard'), join(site.incoming, 'other'));
  expect(await move([entry ?? {}])).toMatchObject({ state: 'OK' });
  await writeFile(join(site.incoming, 'other'), 'changed by its other name');
  const [path] = await site.visible();
  expect(await readFile(join(site.folder, 'archive', path ?? ''), 'utf8')).toBe('content of hard');
});

it('an id that is taken is left alone', async () => {
  const { start } = await site.catalog.ids.take('file', 1);
  await site.archive.put(parseArchiveId(start + 1), piecesOf(Buffer.from('somebody else')));
  const state = await move(await files(['x']));
  expect(state).toMatchObject({ state: 'OK' });
  expect(await site.catalog.metadata.files({ transaction: state.job_id })).toMatchObject([{ _id: start + 2 }]);
});

describe('with an archive elsewhere', () => {
  let server: TestServer;
  let service: IngestService;
  let remote: RemoteArchive;
  beforeEach(async () => {
    const app = archiveApp(
      { service: 'archive', log: silent, debug: false },
      { archive: site.archive, writeOnce: false },
    );
    server = await startApp(app);
    remote = new RemoteArchive({ url: server.url, spool: join(site.folder, 'spool'), retryBudgetMs: 100 });
    service = site.another({ archive: remote });
  });
  afterEach(async () => {
    await remote.close();
    await server.close();
  });

  it('trusts its answers; what was moved stays, and another try goes on', async () => {
    const entries = await files(['a', 'b', 'c']);
    await rm(join(site.incoming, 'c'));
    const jobId = await submit(entries, service);
    await site.run(jobId, service);
    const failed = await site.state(jobId);
    expect(failed).toMatchObject({ state: 'FAILED', task: 'move files', complete: true });
    expect(failed.exception).toMatch(/data\/a: is file \d+ of the archive now, and stays there/);
    await mkdir(site.incoming, { recursive: true });
    await writeFile(join(site.incoming, 'c'), 'content of c');
    await service.retry(jobId);
    await site.run(jobId, service);
    expect(await site.state(jobId)).toMatchObject({ state: 'OK', task: 'ingest metadata', exception: '' });
    const found = await site.catalog.metadata.files({ transaction: jobId });
    expect(found.map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
    expect(await site.visible()).toHaveLength(3);
  });

  it('names a hundred of the files that stay, and says how many more there are', async () => {
    const names = Array.from({ length: 104 }, (_, index) => `f${index}`);
    const entries = await files([...names, 'missing']);
    await rm(join(site.incoming, 'missing'));
    const jobId = await submit(entries, service);
    await site.run(jobId, service);
    const [reason, ...left] = (await site.state(jobId)).exception.split('\n');
    expect(reason).toContain('missing');
    const stay = (await site.visible()).length;
    expect(stay).toBeGreaterThan(100);
    expect(left).toHaveLength(101);
    expect(left.slice(0, 100).every((line) => line.endsWith('and stays there'))).toBe(true);
    expect(left.at(-1)).toBe(`and ${stay - 100} more`);
  });

  it('does not take another file of the same size, under the id of one that is missing, for that one', async () => {
    const entries = await files(['a', 'b']);
    await rm(join(site.incoming, 'b'));
    const jobId = await submit(entries, service);
    const { start } = await site.catalog.ids.take('file', 1);
    await site.archive.put(parseArchiveId(start + 2), piecesOf(Buffer.from('CONTENT OF B')));
    await site.run(jobId, service);
    expect((await site.service.job(jobId)).firstFileId).toBe(start + 1);
    expect(await site.state(jobId)).toMatchObject({ state: 'FAILED', task: 'move files' });
    expect(await site.catalog.metadata.files({ transaction: jobId })).toEqual([]);
  });
});

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Archive } from '../../src/archive/archive.js';
import type { StateRecord } from '../../src/ingest/state.js';
import { bundle, fileEntry, INGEST_SETTINGS, type IngestSite, pythonTar, startIngest } from '../support/ingest.js';
import { overriding } from '../support/overriding.js';
import { piecesOf } from '../support/streams.js';

let site: IngestSite;
beforeAll(async () => {
  site = await startIngest();
});
afterAll(() => site.close());

/** Sends a bundle and runs its job. */
async function ingest(tar: Buffer): Promise<StateRecord> {
  const { record } = await site.service.receive(piecesOf(tar, 5000), { user: 'root', length: tar.length });
  await site.run(record.job_id);
  return site.state(record.job_id);
}

/** A bundle that fails, with its reason; nothing of it is visible and no id is spent. */
async function reasonOf(tar: Buffer, task = 'ingest files'): Promise<string[]> {
  const before = await site.visible();
  const { start } = await site.catalog.ids.take('file', 1);
  const state = await ingest(tar);
  expect(state).toMatchObject({ state: 'FAILED', task, complete: true });
  expect(await site.visible()).toEqual(before);
  expect(await site.catalog.metadata.files({ transaction: state.job_id })).toEqual([]);
  expect(await site.catalog.ids.take('file', 1)).toMatchObject({ start: start + 1 });
  return state.exception.split('\n');
}

const sum = (content: string, type = 'sha1'): string => createHash(type).update(content).digest('hex');

describe('files against metadata', () => {
  it('a wrong hash: FAILED with the name of the file and both hashes', async () => {
    const tar = bundle(
      { 'a/good': 'good', 'a/bad': 'bad' },
      { entries: (all) => all.map((entry) => (entry.name === 'bad' ? { ...entry, hashsum: sum('other') } : entry)) },
    );
    expect(await reasonOf(tar)).toEqual([
      `data/a/bad: the metadata says sha1 ${sum('other')}, the bundle has ${sum('bad')}`,
    ]);
  });

  it('fault 23, a file that the metadata does not name: FAILED, naming it', async () => {
    const tar = bundle({ a: 'a' }, { members: (all) => [{ name: 'data/extra', content: 'x' }, ...all] });
    expect(await reasonOf(tar)).toEqual(['data/extra: is in the bundle, the metadata does not name it']);
  });

  it('a file that the metadata names and the bundle does not have', async () => {
    const tar = bundle({ a: 'a', b: 'b' }, { members: (all) => all.filter(({ name }) => name !== 'data/b') });
    expect(await reasonOf(tar)).toEqual(['data/b: is named by the metadata, the bundle does not have it']);
  });

  it('fault 24, a wrong size', async () => {
    const tar = bundle({ a: 'four' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, size: 5 } : e)) });
    expect(await reasonOf(tar)).toEqual(['data/a: the metadata says 5 bytes, the bundle has 4']);
  });

  it('duplicates in the bundle and in the metadata', async () => {
    const double = bundle({ a: 'a' }, { members: (all) => [...all, { name: './data//a', content: 'a' }] });
    expect(await reasonOf(double)).toEqual(['data/a: is in the bundle twice']);
    const named = bundle({ a: 'a' }, { entries: (all) => [...all, fileEntry('a', 'a')] });
    expect(await reasonOf(named)).toEqual(['data/a: is named by the metadata twice']);
    const metadata = bundle({ a: 'a' }, { members: (all) => [...all, { name: 'metadata.txt', content: '[]' }] });
    expect(await reasonOf(metadata)).toEqual(['metadata.txt: is there twice']);
  });

  it.each([
    [{ name: 'data/../../etc/passwd', content: 'x' }, /etc\/passwd: .*has a part "\.\."/],
    [{ name: '/etc/passwd', content: 'x' }, /^\/etc\/passwd: has an absolute name$/],
    [{ name: 'data/link', type: 'SYMTYPE', link: '/etc/passwd' }, /^data\/link: is a symbolic link$/],
    [{ name: 'data/link', type: 'LNKTYPE', link: 'data/a' }, /^data\/link: is a hard link$/],
    [{ name: 'data/pipe', type: 'FIFOTYPE' }, /^data\/pipe: is a named pipe$/],
    [{ name: 'data/null', type: 'CHRTYPE' }, /^data\/null: is a character device$/],
    [{ name: 'data/sda', type: 'BLKTYPE' }, /^data\/sda: is a block device$/],
    [{ name: 'other/file', content: 'x' }, /^other\/file: is not below data\//],
    [{ name: '../data', type: 'DIRTYPE' }, /^\.\.\/data\/: .*has a part "\.\."/],
    [{ name: `data/${'n'.repeat(300)}`, content: 'x' }, /has a part longer than 255 bytes/],
  ])('a member that must not be there: %s', async (member, message) => {
    const reason = await reasonOf(bundle({ a: 'a' }, { members: (all) => [member, ...all] }));
    expect(reason).toHaveLength(1);
    expect(reason[0]).toMatch(message);
  });

  it('a link at the place of a file that the metadata names', async () => {
    const members = (all: { name: string }[]): { name: string }[] =>
      all.map((one) => (one.name === 'data/a' ? { name: 'data/a', type: 'SYMTYPE', link: '/etc/passwd' } : one));
    expect(await reasonOf(bundle({ a: 'a' }, { members }))).toEqual([
      'data/a: is named by the metadata, the bundle does not have it',
      'data/a: is a symbolic link',
    ]);
  });

  it('tells all that is wrong, the first 100 of it', async () => {
    const files = Object.fromEntries(Array.from({ length: 130 }, (_, index) => [`f${index}`, `${index}`]));
    const wrong = bundle(files, { entries: (all) => all.map((e) => ('size' in e ? { ...e, hashsum: sum('no') } : e)) });
    const reason = await reasonOf(wrong);
    expect(reason).toHaveLength(101);
    expect(reason[99]).toMatch(/^data\/f99: /);
    expect(reason[100]).toBe('and 30 more');
    const extra = bundle(
      {},
      { members: (all) => [...Object.keys(files).map((name) => ({ name: `data/${name}` })), ...all] },
    );
    const unnamed = await reasonOf(extra);
    expect(unnamed).toHaveLength(101);
    expect(unnamed[100]).toBe('and 30 more');
  });
});

describe('the metadata itself', () => {
  const change = (key: string, value: unknown) =>
    bundle({ a: 'a' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, [key]: value } : e)) });

  it.each([
    ['no JSON', bundle({ a: 'a' }, { entries: () => undefined, metadata: 'none' }), /no metadata\.txt/],
    ['not an array', bundle({ a: 'a' }, { entries: () => ({}) }), /not a valid JSON array: it is not an array/],
    [
      'an entry without a table',
      bundle({ a: 'a' }, { entries: (all) => [...all, { value: 1 }] }),
      /^entry 5 is not an object/,
    ],
    ['an unknown hash type', change('hashtype', 'crc32'), /file "a": hash type "crc32" is not known/],
    ['a hash of another length', change('hashsum', 'abc'), /file "a": "abc" is not a sha1 hash/],
    ['another type before the hash', change('hashsum', `md5:${sum('a', 'md5')}`), /is not of type sha1/],
    ['a folder that leads out', change('subdir', 'data/../../etc'), /has a part "\.\."/],
    ['a name that leads out', change('name', '../a'), /has a part "\.\."/],
    ['no name', change('name', ''), /it has no "name"/],
    ['the name of a folder', change('name', '.'), /its "name" is not that of a file/],
    ['a name that ends like a folder', change('name', 'a/'), /its "name" is not that of a file/],
    ['no size', change('size', null), /its "size" is not a number/],
    ['a size that is none', change('size', 1.5), /its "size" is not a number/],
    ['no hash', change('hashsum', undefined), /it has no "hashsum"/],
    ['a mimetype that metadata refuses', change('mimetype', 'nonsense'), /mimetype|nonsense/],
  ])('%s: FAILED at load metadata', async (_what, tar, message) => {
    expect((await reasonOf(tar, 'load metadata')).join('\n')).toMatch(message);
  });

  it('broken JSON is told with its place', async () => {
    const tar = pythonTar([{ name: 'metadata.txt', content: '[{"destinationTable": "x"}, {broken}]' }]);
    expect((await reasonOf(tar, 'load metadata'))[0]).toMatch(/^the metadata is not a valid JSON array: entry 2: /);
  });

  it('all entries that are wrong are told', async () => {
    const tar = bundle(
      { a: 'a', b: 'b' },
      {
        entries: (all) =>
          all.map((e) => (e.name === 'a' ? { ...e, size: 'x' } : e.name === 'b' ? { ...e, hashsum: '' } : e)),
      },
    );
    expect(await reasonOf(tar, 'load metadata')).toHaveLength(2);
  });

  it('all entries that the metadata service would refuse are told, by the number that people count', async () => {
    const tar = bundle(
      { a: 'a', b: 'b', c: 'c' },
      {
        entries: (all) => [
          ...all.map((e) => (e.name === 'a' || e.name === 'c' ? { ...e, mimetype: 'nonsense' } : e)),
          { destinationTable: 'TransactionKeyValue', value: 'no key' },
        ],
      },
    );
    expect(await reasonOf(tar, 'load metadata')).toEqual([
      expect.stringMatching(/^metadata entry 4 \(Files, "a"\): mimetype "nonsense" is not known \(use one like /),
      expect.stringMatching(/^metadata entry 6 \(Files, "c"\): mimetype "nonsense" is not known/),
      expect.stringMatching(/^metadata entry 7 \(TransactionKeyValue\): key nothing /),
    ]);
  });

  it.each(['submitter', 'project', 'instrument'])('no %s: FAILED at Policy Validation', async (name) => {
    const entries = (all: Record<string, unknown>[]): unknown =>
      all.filter(({ destinationTable }) => destinationTable !== `Transactions.${name}`);
    expect((await reasonOf(bundle({ a: 'a' }, { entries }), 'Policy Validation'))[0]).toContain(name);
  });
});

describe('forms that old uploaders send', () => {
  it.each(['data/a/b/', 'data//a/b', 'a/b', '/a/b/', './data/a//b'])('subdir %s', async (subdir) => {
    const tar = bundle({ 'a/b/f': 'f' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, subdir } : e)) });
    const state = await ingest(tar);
    expect(state).toMatchObject({ state: 'OK', exception: '' });
    expect(await site.catalog.metadata.files({ transaction: state.job_id })).toMatchObject([
      { subdir: 'a/b', name: 'f' },
    ]);
  });

  it.each(['', 'data', 'data/', undefined])('subdir %j for files at the top', async (subdir) => {
    const tar = bundle({ f: 'f' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, subdir } : e)) });
    const state = await ingest(tar);
    expect(state).toMatchObject({ state: 'OK' });
    expect(await site.catalog.metadata.files({ transaction: state.job_id })).toMatchObject([{ subdir: '', name: 'f' }]);
  });

  it('a size as text', async () => {
    const tar = bundle({ f: 'four' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, size: '4' } : e)) });
    const state = await ingest(tar);
    expect(state).toMatchObject({ state: 'OK', exception: '' });
    expect(await site.catalog.metadata.files({ transaction: state.job_id })).toMatchObject([{ size: 4 }]);
  });

  it('fault 30: "sha1:" before the hash, capital letters', async () => {
    for (const hashsum of [`sha1:${sum('f')}`, sum('f').toUpperCase(), `SHA1:${sum('f').toUpperCase()}`]) {
      const tar = bundle({ f: 'f' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, hashsum } : e)) });
      const state = await ingest(tar);
      expect(state).toMatchObject({ state: 'OK', task: 'ingest metadata' });
      expect(await site.catalog.metadata.files({ transaction: state.job_id })).toMatchObject([
        { hashsum: sum('f'), hashtype: 'sha1' },
      ]);
    }
  });

  it('fault 30: a metadata service gets the hash without "sha1:", in small letters', async () => {
    const told: unknown[] = [];
    const metadata = overriding(site.catalog.metadata, {
      async ingest(document) {
        for await (const entry of document) if (entry.destinationTable === 'Files') told.push(entry.hashsum);
      },
    });
    const service = site.another({ catalog: { ...site.catalog, metadata } });
    const hashsum = `SHA1:${sum('f').toUpperCase()}`;
    const tar = bundle({ f: 'f' }, { entries: (all) => all.map((e) => ('size' in e ? { ...e, hashsum } : e)) });
    const { record } = await service.receive(piecesOf(tar), { user: 'root' });
    await site.run(record.job_id, service);
    expect(told).toEqual([sum('f')]);
  });

  it('extra keys and tables are passed on; folders in the tar are nothing', async () => {
    const tar = bundle(
      { f: 'f' },
      {
        entries: (all) => [
          { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '27' },
          ...all.map((e) => ('size' in e ? { ...e, myOwn: { deep: [1] } } : { ...e, displayed: true })),
        ],
        members: (all) => [{ name: 'data/', type: 'DIRTYPE' }, { name: './', type: 'DIRTYPE' }, ...all],
      },
    );
    const state = await ingest(tar);
    expect(state).toMatchObject({ state: 'OK' });
    expect(await site.catalog.metadata.files({ transaction: state.job_id })).toMatchObject([{ myOwn: { deep: [1] } }]);
  });

  it("a transaction id that the uploader made up is replaced by the job's", async () => {
    const made = { destinationTable: 'Transactions._id', value: 4711 };
    const tar = bundle({ mine: 'mine' }, { entries: (all) => [made, ...all] });
    const state = await ingest(tar);
    expect(state).toMatchObject({ state: 'OK', complete: true });
    const files = await site.catalog.metadata.files({ hashtype: 'sha1', hashsum: sum('mine') });
    expect(files).toMatchObject([{ transaction: state.job_id }]);
  });

  it('no files at all', async () => {
    expect(await ingest(bundle({}))).toMatchObject({ state: 'OK', task: 'ingest metadata', task_percent: '100.00000' });
  });

  it.each(['md5', 'sha224', 'sha256', 'sha384', 'sha512'])(
    'hash type %s, metadata first and last',
    async (hashtype) => {
      for (const metadata of ['first', 'last'] as const) {
        const state = await ingest(bundle({ a: 'aa', b: Buffer.alloc(600_000, 'b') }, { metadata, hashtype }));
        expect(state).toMatchObject({ state: 'OK', exception: '' });
        const [file] = await site.catalog.metadata.files({ transaction: state.job_id, name: 'a' });
        expect(file).toMatchObject({ hashtype, hashsum: sum('aa', hashtype) });
      }
      const wrong = bundle(
        { a: 'a' },
        { hashtype, entries: (all) => all.map((e) => ('size' in e ? { ...e, hashsum: sum('x', hashtype) } : e)) },
      );
      expect((await reasonOf(wrong))[0]).toContain(
        `${hashtype} ${sum('x', hashtype)}, the bundle has ${sum('a', hashtype)}`,
      );
    },
  );

  /** @returns a service, and the drafts that it reads once more */
  function noting(): { service: ReturnType<typeof site.another>; opened: string[] } {
    const opened: string[] = [];
    const { drafts } = site.archive;
    const watched = overriding(drafts, {
      open: (group, name) => {
        opened.push(name);
        return drafts.open(group, name);
      },
    });
    return { service: site.another({ archive: overriding<Archive>(site.archive, { drafts: watched }) }), opened };
  }

  it('metadata that comes first says which hash is taken: no file is read twice', async () => {
    const { service, opened } = noting();
    for (const [metadata, count] of [
      ['first', 0],
      ['last', 2],
    ] as const) {
      opened.length = 0;
      const tar = bundle({ a: 'a', b: 'b' }, { metadata, hashtype: 'sha256' });
      const { record } = await service.receive(piecesOf(tar), { user: 'root' });
      await site.run(record.job_id, service);
      expect(await site.state(record.job_id)).toMatchObject({ state: 'OK' });
      expect(opened).toHaveLength(count);
    }
  });

  it('metadata that comes first with several hash types: the one that most files have is taken', async () => {
    const { service, opened } = noting();
    const types = new Map([
      ['a', 'md5'],
      ['b', 'sha256'],
      ['c', 'sha256'],
      ['d', 'sha512'],
    ]);
    const entries = (all: Record<string, unknown>[]): unknown =>
      all.map((entry) => {
        const type = types.get(String(entry.name));
        return type === undefined ? entry : { ...entry, hashtype: type, hashsum: sum(String(entry.name), type) };
      });
    const tar = bundle(Object.fromEntries([...types.keys()].map((name) => [name, name])), {
      metadata: 'first',
      entries,
    });
    const { record } = await service.receive(piecesOf(tar), { user: 'root' });
    await site.run(record.job_id, service);
    expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', exception: '' });
    // by their numbers in the bundle: those of another type are read once more
    expect(opened.sort()).toEqual(['0', '3']);
  });

  it('metadata that comes last: the hash by setting is taken', async () => {
    const { drafts } = site.archive;
    const unread = overriding(drafts, { open: () => Promise.reject(new Error('it was read once more')) });
    const service = site.another({
      archive: overriding<Archive>(site.archive, { drafts: unread }),
      settings: { ...INGEST_SETTINGS, defaultHash: 'sha512' },
    });
    const { record } = await service.receive(piecesOf(bundle({ a: 'a' }, { hashtype: 'sha512' })), { user: 'root' });
    await site.run(record.job_id, service);
    expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', exception: '' });
  });
});

it('a bundle with more members than are taken: refused while it comes in', async () => {
  const limited = await startIngest({ settings: { memberLimit: 3 } });
  const tar = bundle(Object.fromEntries(Array.from({ length: 4 }, (_, index) => [`f${index}`, 'x'])));
  const { record, error } = await limited.service.receive(piecesOf(tar), { user: 'root' });
  expect(error?.code).toBe('too-large');
  expect(record).toMatchObject({ state: 'FAILED', complete: true });
  expect(record.exception).toContain('more than the 3 files');
  // each that is refused is kept on record, too
  const links = ['a', 'b', 'c', 'd'].map((name) => ({ name: `data/${name}`, type: 'SYMTYPE', link: 'x' }));
  const refused = await limited.service.receive(piecesOf(pythonTar(links)), { user: 'root' });
  expect(refused.error?.code).toBe('too-large');
  expect(await limited.leftovers()).toEqual([]);
  await limited.close();
});

it('paths longer than the site takes: all of them are told', async () => {
  const service = site.another({ settings: { ...INGEST_SETTINGS, pathLimit: 20 } });
  const tar = bundle({ 'fifteen-bytes.x': 'a', 'sixteen-bytes.xx': 'b', 'ü/ten-of-them': 'c' });
  const { record } = await service.receive(piecesOf(tar), { user: 'root' });
  await site.run(record.job_id, service);
  const { state, exception } = await site.state(record.job_id);
  expect(state).toBe('FAILED');
  expect(exception.split('\n').filter((line) => line.includes('path_limit'))).toEqual([
    expect.stringMatching(/^data\/sixteen-bytes.xx: its path has 21 bytes, 20 are taken/),
  ]);
});

it('a file that is named a second time hundreds of files later', async () => {
  const files = Object.fromEntries(Array.from({ length: 600 }, (_, index) => [`f${index}`, `${index}`]));
  const tar = bundle(files, { entries: (all) => [...all, fileEntry('f0', '0')] });
  expect(await reasonOf(tar)).toEqual(['data/f0: is named by the metadata twice']);
});

it('many files: rows in batches, ids in one range', async () => {
  const files = Object.fromEntries(Array.from({ length: 1203 }, (_, index) => [`d${index % 7}/f${index}`, `${index}`]));
  const state = await ingest(bundle(files));
  expect(state).toMatchObject({ state: 'OK', exception: '' });
  const stored = await site.catalog.metadata.files({ transaction: state.job_id });
  expect(stored).toHaveLength(1203);
  const ids = stored.map(({ _id }) => _id).sort((a, b) => a - b);
  expect((ids.at(-1) ?? 0) - (ids[0] ?? 0)).toBe(1202);
  for (const { _id, name, hashsum } of stored) {
    expect(hashsum).toBe(sum(name.slice(1)));
    expect((await site.visible()).includes(String(_id))).toBe(true);
    if (_id > (ids[0] ?? 0) + 5) break;
  }
});

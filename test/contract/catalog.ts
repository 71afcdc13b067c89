import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Catalog, CatalogFile, FileQuery, MetadataEntry } from '../../src/catalog/catalog.js';

/** What a suite is run against. */
export interface CatalogTenant {
  readonly catalog: Catalog;
  close(): Promise<void>;
}

let nextId = 1;

/** @returns numbers that no other call gives: transaction and file ids of tests */
export function freshIds(count: number): number[] {
  return Array.from({ length: count }, () => nextId++);
}

/** @returns 40 hex digits made of a number */
export function sumOf(number: number): string {
  return number.toString(16).padStart(40, '0');
}

export function fileEntry(id: number, fields: Record<string, unknown> = {}): MetadataEntry {
  return {
    destinationTable: 'Files',
    _id: id,
    name: `f${id}.txt`,
    subdir: 'a/b',
    size: 4,
    mimetype: 'text/plain',
    hashtype: 'sha1',
    hashsum: sumOf(id),
    ctime: '2016-11-29T14:09:05',
    mtime: '2016-11-29T14:09:05',
    ...fields,
  };
}

export function transactionEntries(id: number, ...more: MetadataEntry[]): MetadataEntry[] {
  return [
    { destinationTable: 'Transactions._id', value: id },
    { destinationTable: 'Transactions.submitter', value: 10 },
    { destinationTable: 'Transactions.project', value: '1234a' },
    { destinationTable: 'Transactions.instrument', value: 54 },
    ...more,
  ];
}

/**
 * What every catalog keeps to, embedded or over HTTP.
 * @param open starts one with no data in it
 */
export function catalogContract(open: () => Promise<CatalogTenant>): void {
  let tenant: CatalogTenant;
  let catalog: Catalog;
  beforeAll(async () => {
    tenant = await open();
    ({ catalog } = tenant);
  });
  afterAll(() => tenant.close());

  describe('unique ids', () => {
    it('begin at 1 and go on where they ended, for each mode apart', async () => {
      expect(await catalog.ids.take('file', 10)).toEqual({ start: 1, end: 10 });
      expect(await catalog.ids.take('file', 1)).toEqual({ start: 11, end: 11 });
      expect(await catalog.ids.take('upload_job', 1)).toEqual({ start: 1, end: 1 });
      expect(await catalog.ids.take('file', 5)).toEqual({ start: 12, end: 16 });
    });

    it('never overlap when many ask at once', async () => {
      const counts = Array.from({ length: 200 }, (_, index) => 1 + (index % 7));
      const ranges = await Promise.all(counts.map((count) => catalog.ids.take('many', count)));
      const taken = ranges.flatMap(({ start, end }) =>
        Array.from({ length: end - start + 1 }, (_, index) => start + index),
      );
      expect(ranges.map(({ start, end }) => end - start + 1)).toEqual(counts);
      expect(taken.sort((a, b) => a - b)).toEqual(Array.from({ length: taken.length }, (_, index) => index + 1));
    });

    it.each([0, -1, 1.5, Number.NaN, 1e15])('refuse a range of %s', async (count) => {
      await expect(catalog.ids.take('bad', count)).rejects.toMatchObject({ code: 'invalid' });
      await expect(catalog.ids.take('', 1)).rejects.toMatchObject({ code: 'invalid' });
    });
  });

  describe('policy', () => {
    it('lets pass what says who, for what and with which instrument', async () => {
      await catalog.policy.check(transactionEntries(1), 'root');
    });

    it.each(['submitter', 'project', 'instrument'])('forbids what does not name its %s', async (attribute) => {
      const table = `Transactions.${attribute}`;
      const without = transactionEntries(1).filter(({ destinationTable }) => destinationTable !== table);
      for (const metadata of [
        without,
        [...without, { destinationTable: table, value: null }],
        [...without, { destinationTable: table, value: '' }],
      ]) {
        await expect(catalog.policy.check(metadata, 'root')).rejects.toMatchObject({
          code: 'forbidden',
          message: expect.stringMatching(
            new RegExp(`Invalid values for ${attribute}$|Invalid values for ${attribute} `),
          ) as string,
        });
      }
    });
  });

  describe('metadata', () => {
    const ids = (files: CatalogFile[]): number[] => files.map(({ _id }) => _id);

    it('gives a file back by all that is known of it', async () => {
      const [transaction = 0, a = 0, b = 0] = freshIds(3);
      await catalog.metadata.ingest(
        transactionEntries(
          transaction,
          fileEntry(a, { name: 'grüße 日本.txt', subdir: 'x/y', size: 2 ** 40, instrumentSetting: { gain: [1, 2] } }),
          fileEntry(b, { hashtype: 'md5', hashsum: 'D41D8CD98F00B204E9800998ECF8427E', mimetype: 'image/png' }),
        ),
        'dave',
      );
      const [file, ...rest] = await catalog.metadata.files({ hashtype: 'sha1', hashsum: sumOf(a) });
      expect(rest).toEqual([]);
      expect(file).toMatchObject({
        _id: a,
        name: 'grüße 日本.txt',
        subdir: 'x/y',
        size: 2 ** 40,
        mimetype: 'text/plain',
        hashtype: 'sha1',
        hashsum: sumOf(a),
        mtime: '2016-11-29T14:09:05',
        ctime: '2016-11-29T14:09:05',
        transaction,
        deleted: null,
        instrumentSetting: { gain: [1, 2] },
      });
      const find = async (query: Parameters<Catalog['metadata']['files']>[0]): Promise<number[]> =>
        ids(await catalog.metadata.files(query));
      expect(await find({ _id: b })).toEqual([b]);
      expect(await find({ name: 'grüße 日本.txt' })).toEqual([a]);
      expect(await find({ transaction, subdir: 'a/b' })).toEqual([b]);
      expect(await find({ transaction, mimetype: 'image/png' })).toEqual([b]);
      expect(await find({ transaction })).toEqual([b, a]);
      expect(await find({ hashsum: 'd41d8cd98f00b204e9800998ecf8427e', hashtype: 'md5' })).toEqual([b]);
      expect(await find({ hashsum: 'D41d8cd98f00b204e9800998ecf8427e' })).toEqual([b]);
      expect(await find({ hashsum: 'd41d8cd98f00b204e9800998ecf8427e', hashtype: 'sha1' })).toEqual([]);
      expect(await find({ transaction, name: 'grüße' })).toEqual([]);
    });

    it('believes no uploader what is its own to say of a file', async () => {
      const [transaction = 0, file = 0] = freshIds(2);
      const said = '2001-01-01T00:00:00';
      const own = { deleted: said, created: said, updated: said, transaction: 7 };
      await catalog.metadata.ingest(transactionEntries(transaction, fileEntry(file, own)), 'root');
      const [found] = await catalog.metadata.files({ _id: file });
      expect(found).toMatchObject({ deleted: null, transaction });
      expect([found?.created, found?.updated]).not.toContain(said);
    });

    it('gives a long list whole or in pages, newest first', async () => {
      const [transaction = 0, ...files] = freshIds(1202);
      await catalog.metadata.ingest(transactionEntries(transaction, ...files.map((id) => fileEntry(id))), 'root');
      const newestFirst = files.toReversed();
      expect(ids(await catalog.metadata.files({ transaction }))).toEqual(newestFirst);
      expect(ids(await catalog.metadata.files({ transaction, limit: 700 }))).toEqual(newestFirst.slice(0, 700));
      expect(ids(await catalog.metadata.files({ transaction, limit: 700, page: 2 }))).toEqual(newestFirst.slice(700));
      expect(ids(await catalog.metadata.files({ transaction, limit: 700, page: 3 }))).toEqual([]);
      const below = newestFirst[99] ?? 0;
      expect(ids(await catalog.metadata.files({ transaction, below, limit: 2 }))).toEqual(newestFirst.slice(100, 102));
    });

    it('takes the same transaction again, and refuses another one with its id', async () => {
      const [transaction = 0, file = 0, other = 0] = freshIds(3);
      const pair = { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '27' };
      await catalog.metadata.ingest(transactionEntries(transaction, fileEntry(file), pair), 'root');
      const before = await catalog.metadata.files({ transaction });
      await catalog.metadata.ingest(transactionEntries(transaction, fileEntry(file), pair), 'root');
      const reversed = transactionEntries(transaction, fileEntry(file), pair)
        .map((entry): MetadataEntry => ({
          destinationTable: '',
          ...Object.fromEntries(Object.entries(entry).reverse()),
        }))
        .reverse();
      await catalog.metadata.ingest(reversed, 'root');
      expect(await catalog.metadata.files({ transaction })).toEqual(before);
      const changed = transactionEntries(transaction, fileEntry(file, { hashsum: sumOf(other) }), pair);
      await expect(catalog.metadata.ingest(changed, 'root')).rejects.toMatchObject({ code: 'exists' });
      expect(await catalog.metadata.files({ transaction })).toEqual(before);
    });

    it('takes the same transaction without files again', async () => {
      const [transaction = 0] = freshIds(1);
      await catalog.metadata.ingest(transactionEntries(transaction), 'root');
      await catalog.metadata.ingest(transactionEntries(transaction), 'root');
    });

    it('refuses a file id of another transaction, and shows nothing of the refused one', async () => {
      const [first = 0, second = 0, taken = 0, free = 0] = freshIds(4);
      await catalog.metadata.ingest(transactionEntries(first, fileEntry(taken)), 'root');
      const refused = catalog.metadata.ingest(transactionEntries(second, fileEntry(free), fileEntry(taken)), 'root');
      await expect(refused).rejects.toMatchObject({ code: 'exists' });
      expect(await catalog.metadata.files({ transaction: second })).toEqual([]);
      expect(await catalog.metadata.files({ _id: free })).toEqual([]);
      expect(ids(await catalog.metadata.files({ transaction: first }))).toEqual([taken]);
    });

    it('finds by a pattern of the name, and by a key/value of the file or of its transaction', async () => {
      const [first = 0, second = 0, a = 0, b = 0, c = 0, d = 0] = freshIds(6);
      const name = (text: string): { name: string } => ({ name: text });
      await catalog.metadata.ingest(
        transactionEntries(
          first,
          fileEntry(a, name(`Glob${first}_one.txt`)),
          fileEntry(b, name(`glob${first}[x]%.dat`)),
          { destinationTable: 'TransactionKeyValue', key: 'sample', value: `it's ${first}` },
        ),
        'root',
      );
      await catalog.metadata.ingest(
        transactionEntries(
          second,
          fileEntry(c, name(`glob${first}_two.txt`)),
          fileEntry(d, name(`glob${first}xyz.txt`)),
          { destinationTable: 'FileKeyValue', key: 'sample', value: `it's ${first}`, file_id: d },
          { destinationTable: 'FileKeyValue', key: 'other', value: 'x', file_id: c },
        ),
        'root',
      );
      const found = async (query: FileQuery): Promise<number[]> => ids(await catalog.metadata.files(query));
      expect(await found({ name_glob: `glob${first}*` })).toEqual([d, c, b]);
      expect(await found({ name_glob: `*lob${first}_???.txt` })).toEqual([c, a]);
      expect(await found({ name_glob: `glob${first}[[]x]%.dat` })).toEqual([]);
      expect(await found({ name_glob: `glob${first}[x]%.dat` })).toEqual([b]);
      expect(await found({ name_glob: `glob${first}%` })).toEqual([]);
      expect(await found({ name_glob: `glob${first}\\*` })).toEqual([]);
      expect(await found({ key: 'sample', value: `it's ${first}` })).toEqual([d, b, a]);
      expect(await found({ key: 'sample', value: `it's ${first}`, name_glob: '*.txt' })).toEqual([d, a]);
      expect(await found({ key: 'sample', value: `it's ${first}`, limit: 2, page: 2 })).toEqual([a]);
      expect(await found({ key: 'other', value: `it's ${first}` })).toEqual([]);
      expect(await found({ key: 'nothing', value: 'x' })).toEqual([]);
    });

    it('gives no key to a file of another transaction', async () => {
      const [first = 0, second = 0, file = 0] = freshIds(3);
      await catalog.metadata.ingest(transactionEntries(first, fileEntry(file)), 'root');
      const pair = { destinationTable: 'FileKeyValue', key: `of ${second}`, value: 'x', file_id: file };
      await catalog.metadata.ingest(transactionEntries(second, pair), 'root');
      expect(await catalog.metadata.files({ key: `of ${second}`, value: 'x' })).toEqual([]);
    });

    it('brings hashes, folders and times to one form', async () => {
      const [transaction = 0, file = 0] = freshIds(2);
      await catalog.metadata.ingest(
        transactionEntries(
          transaction,
          fileEntry(file, {
            subdir: '/a//./b/',
            hashsum: `sha1:${sumOf(file).toUpperCase()}`,
            ctime: 'Tue Nov 29 14:09:05 PST 2016',
            mtime: '2016-11-29T14:09:05.25+01:00',
          }),
        ),
        'root',
      );
      expect(await catalog.metadata.files({ transaction })).toMatchObject([
        {
          subdir: 'a/b',
          hashsum: sumOf(file),
          ctime: '2016-11-29T22:09:05',
          mtime: '2016-11-29T13:09:05.250000',
        },
      ]);
    });

    it.each(['TEXT/plain', 'chemical/x-pdb'])('takes the mimetype %s', async (mimetype) => {
      const [transaction = 0, file = 0] = freshIds(2);
      await catalog.metadata.ingest(transactionEntries(transaction, fileEntry(file, { mimetype })), 'root');
      expect(await catalog.metadata.files({ _id: file })).toMatchObject([{ mimetype }]);
    });

    it('takes a number, a truth and nothing for the value of a key', async () => {
      const [transaction = 0, file = 0] = freshIds(2);
      const pairs = [27.5, true, null].map((value) => ({
        destinationTable: 'TransactionKeyValue',
        key: `k${file}`,
        value,
      }));
      await catalog.metadata.ingest(transactionEntries(transaction, fileEntry(file), ...pairs), 'root');
      for (const value of ['27.5', 'true', '']) {
        expect(ids(await catalog.metadata.files({ key: `k${file}`, value }))).toEqual([file]);
      }
    });

    it('takes one of the two times of a file for the other', async () => {
      const [transaction = 0, a = 0, b = 0] = freshIds(3);
      const files = [fileEntry(a, { mtime: undefined }), fileEntry(b, { ctime: null })];
      await catalog.metadata.ingest(transactionEntries(transaction, ...files), 'root');
      const time = '2016-11-29T14:09:05';
      for (const file of await catalog.metadata.files({ transaction })) {
        expect(file).toMatchObject({ mtime: time, ctime: time });
      }
    });

    it.each([
      ['mimetype', 'text'],
      ['mimetype', 'nonsense/plain'],
      ['mimetype', undefined],
      ['hashsum', 'abc'],
      ['hashsum', 'z'.repeat(40)],
      ['hashsum', `md5:${'0'.repeat(40)}`],
      ['hashtype', 'crc32'],
      ['hashtype', 'md5'],
      ['name', ''],
      ['name', '..'],
      ['name', 'a/b'],
      ['name', 7],
      ['subdir', 'a/../b'],
      ['size', -1],
      ['size', 1.5],
      ['size', '4'],
      ['size', undefined],
      ['_id', 1.5],
      ['_id', -1],
      ['_id', 'abc'],
      ['_id', undefined],
      ['mtime', 'yesterday'],
      ['ctime', '2016-02-30T00:00:00'],
    ])('refuses a file whose %s is %j', async (key, value) => {
      const [transaction = 0, good = 0, bad = 0] = freshIds(3);
      const metadata = transactionEntries(transaction, fileEntry(good), fileEntry(bad, { [key]: value }));
      await expect(catalog.metadata.ingest(metadata, 'root')).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringMatching(/entry 6|_id/) as string,
      });
      expect(await catalog.metadata.files({ transaction })).toEqual([]);
    });

    it('refuses two files with one id', async () => {
      const [transaction = 0, file = 0] = freshIds(2);
      const metadata = transactionEntries(transaction, fileEntry(file), fileEntry(file, { name: 'other' }));
      await expect(catalog.metadata.ingest(metadata, 'root')).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringContaining(String(file)) as string,
      });
      expect(await catalog.metadata.files({ transaction })).toEqual([]);
    });

    it.each([
      ['no transaction id', [{ destinationTable: 'Transactions._id', value: null }]],
      ['two transaction ids', [{ destinationTable: 'Transactions._id', value: 987654 }]],
      ['a key that is too long', [{ destinationTable: 'TransactionKeyValue', key: 'k'.repeat(256), value: '1' }]],
      ['a key without name', [{ destinationTable: 'TransactionKeyValue', key: '', value: '1' }]],
      ['a value that is a list', [{ destinationTable: 'TransactionKeyValue', key: 'k', value: [1] }]],
      ['a project that is an object', [{ destinationTable: 'Transactions.project', value: {} }]],
    ])('refuses metadata with %s', async (what, more) => {
      const [transaction = 0] = freshIds(1);
      const metadata = transactionEntries(transaction, ...more);
      const sent = what === 'no transaction id' ? metadata.slice(1) : metadata;
      await expect(catalog.metadata.ingest(sent, 'root')).rejects.toMatchObject({ code: 'invalid' });
    });
  });
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCatalog } from '../../src/catalog/create.js';
import type { Catalog, MetadataDocument } from '../../src/catalog/catalog.js';
import { EmbeddedPolicy } from '../../src/catalog/policy.js';
import type { RuleQuery } from '../../src/catalog/rules.js';
import { SiteRules } from '../../src/catalog/site-rules.js';
import { catalogApp } from '../../src/daemon/catalog.js';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { fileEntry, freshIds, sumOf, transactionEntries } from '../contract/catalog.js';
import { startApp } from '../support/app.js';
import { curl, type CurlAnswer } from '../support/curl.js';
import { silent } from '../support/log.js';
import { manyFiles } from '../support/many-files.js';
import type { TestServer } from '../support/server.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

const BODY_LIMIT = 4 * 2 ** 20;

let folder: string;
let database: Database;
let catalog: Catalog;
let server: TestServer;
let url: string;
/** users that policy and metadata were told */
const users: string[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  database = await Database.open(`sqlite://${join(folder, 'pacifica.db')}`);
  await requireSchema(database);
  catalog = createCatalog({ database, authHeader: 'X-Http-Authed-User' });
  const policy = new EmbeddedPolicy();
  const watched: Catalog = {
    ...catalog,
    policy: Object.assign(Object.create(policy) as EmbeddedPolicy, {
      async check(metadata: MetadataDocument, user: string) {
        users.push(user);
        await policy.check(metadata, user);
      },
      query: async (query: RuleQuery) => policy.query(query),
    }),
  };
  const app = catalogApp(
    { service: 'catalog', log: silent, debug: false },
    { catalog: watched, authHeader: 'X-Http-Authed-User', defaultUser: 'root', bodyLimit: BODY_LIMIT },
  );
  server = await startApp(app);
  ({ url } = server);
});

afterAll(async () => {
  await server.close();
  await database.close();
  await removeFolder(folder);
});

async function get(path: string): Promise<CurlAnswer> {
  return curl([`${url}${path}`]);
}

async function send(method: string, path: string, body: unknown, ...args: string[]): Promise<CurlAnswer> {
  const bytes = typeof body === 'string' ? body : JSON.stringify(body);
  return curl(['-X', method, '--data-binary', '@-', ...args, `${url}${path}`], Buffer.from(bytes));
}

function expectError(answer: CurlAnswer, status: string, message: string | RegExp): void {
  expect(answer.status).toBe(Number(status.slice(0, 3)));
  expect(answer.header('Content-Type')).toBe('application/json');
  expect(answer.json()).toEqual({
    status,
    message: typeof message === 'string' ? message : (expect.stringMatching(message) as string),
    traceback: '',
    version: expect.any(String) as string,
  });
}

describe('the port itself', () => {
  it('says that it runs', async () => {
    const answer = await get('/');
    expect([answer.status, answer.text()]).toEqual([200, '{"message": "Pacifica Metadata Up and Running"}']);
    expect((await curl(['--head', `${url}/`])).status).toBe(200);
  });

  it('knows no other paths and methods', async () => {
    expectError(await get('/nothing'), '404 Not Found', /./);
    const answer = await send('DELETE', '/ingest', []);
    expectError(answer, '405 Method Not Allowed', /./);
    expect(answer.header('Allow')?.split(', ').sort()).toEqual(['POST', 'PUT']);
  });
});

describe('GET /getid', () => {
  it('answers as the deployed service', async () => {
    expect((await get('/getid?range=10&mode=file')).text()).toBe('{"startIndex": 1, "endIndex": 10}');
    expect((await get('/getid?mode=file&range=2')).json()).toEqual({ startIndex: 11, endIndex: 12 });
    expect((await get('/getid?range=1&mode=upload_job')).json()).toEqual({ startIndex: 1, endIndex: 1 });
  });

  it.each([
    ['range=0&mode=bad', /range/],
    ['range=-1&mode=bad', /range/],
    ['range=abc&mode=bad', /range/],
    ['range=1.5&mode=bad', /range/],
    ['range=1e3&mode=bad', /range/],
    ['range=99999999999&mode=bad', /range/],
    ['mode=bad', /range/],
    ['range=1', /mode/],
    ['range=1&mode=', /mode/],
    ['range=1&range=2&mode=bad', /range/],
    ['range=1&mode=a%00b', /mode/],
  ])('refuses %s, and takes nothing', async (query, message) => {
    const take = async (): Promise<number> =>
      ((await get('/getid?range=1&mode=bad')).json() as { endIndex: number }).endIndex;
    const before = await take();
    expectError(await get(`/getid?${query}`), '400 Bad Request', message);
    expect(await take()).toBe(before + 1);
  });

  it('takes nothing for a HEAD', async () => {
    expect((await curl(['--head', `${url}/getid?range=5&mode=head`])).status).toBe(200);
    expect((await get('/getid?range=1&mode=head')).json()).toEqual({ startIndex: 1, endIndex: 1 });
  });
});

describe('POST /ingest (policy)', () => {
  it('lets pass, whatever the Content-Type, and is told the user', async () => {
    users.length = 0;
    const answer = await send('POST', '/ingest', transactionEntries(1));
    expect([answer.status, answer.text()]).toEqual([200, '{"status": "success"}']);
    await send('POST', '/ingest', transactionEntries(1), '-H', 'Content-Type:', '-H', 'X-Http-Authed-User: dave');
    await send('POST', '/ingest', transactionEntries(1), '-H', 'Content-Type: application/json');
    expect(users).toEqual(['root', 'dave', 'root']);
  });

  it('refuses with 412 and the names of what is missing', async () => {
    const metadata = transactionEntries(1).filter(({ destinationTable }) => destinationTable === 'Transactions._id');
    const answer = await send('POST', '/ingest', metadata);
    expectError(
      answer,
      '412 Precondition Failed',
      'Precondition Failed: Invalid values for submitter, project, instrument',
    );
  });

  it.each([
    ['no JSON', '{bad', /Invalid JSON/],
    ['no list', '{}', /not a JSON array/],
    ['null', 'null', /not a JSON array/],
    ['nothing', '', /Invalid JSON/],
    ['an entry that is none', '[{"destinationTable": "Files"}, 7]', /entry 2/],
    ['an entry without a table', '[{"value": 7}]', /entry 1/],
  ])('refuses %s', async (_, body, message) => {
    for (const method of ['POST', 'PUT']) expectError(await send(method, '/ingest', body), '400 Bad Request', message);
  });

  it('refuses what is not UTF-8', async () => {
    const bytes = Buffer.from('[{"destinationTable": "Gr\xfc\xdfe"}]', 'latin1');
    const answer = await curl(['-X', 'PUT', '--data-binary', '@-', `${url}/ingest`], bytes);
    expectError(answer, '400 Bad Request', /Invalid JSON/);
  });

  it.each([[[]], [['-H', 'Transfer-Encoding: chunked']]])('refuses a body that is too large (%s)', async (args) => {
    const body = `[${' '.repeat(BODY_LIMIT)}]`;
    expectError(
      await send('PUT', '/ingest', body, ...args),
      '413 Payload Too Large',
      /the 4\.0 MiB that are taken \(.*raise \[ingest\] metadata_limit\)/,
    );
  });
});

// transcripts.md 4b: what pacifica-cli asks before an upload
describe('POST /uploader (policy)', () => {
  const rules = {
    users: [{ _id: 10, first_name: 'David\u00e9', last_name: 'Brown\u00e9 Jr', network_id: 'dmlb2001' }],
    instruments: [{ _id: 54, name_short: 'Nittany Liquid Probes', display_name: 'NMR PROBES: Nittany Liquid Probes' }],
    projects: [{ _id: '1234a', title: 'Pacifica Development (active no close)', users: [10], instruments: [54] }],
  };
  let ruled: TestServer;
  beforeAll(async () => {
    const path = join(folder, 'rules.json');
    await writeFile(path, JSON.stringify(rules));
    const app = catalogApp(
      { service: 'catalog', log: silent, debug: false },
      {
        catalog: createCatalog({
          database,
          authHeader: 'X-Http-Authed-User',
          rules: await SiteRules.open(path, () => undefined),
        }),
        authHeader: 'X-Http-Authed-User',
        defaultUser: 'root',
        bodyLimit: BODY_LIMIT,
      },
    );
    ruled = await startApp(app);
  });
  afterAll(() => ruled.close());

  async function ask(body: string): Promise<CurlAnswer> {
    return curl(['--data-binary', '@-', `${ruled.url}/uploader`], Buffer.from(body));
  }

  it.each([
    ['{"user": -1, "columns": ["_id"], "where": {"network_id": "dmlb2001"}, "from": "users"}', '[{"_id": 10}]'],
    [
      '{"user": 10, "columns": ["first_name", "last_name", "_id"], "where": {}, "from": "users"}',
      '[{"_id": 10, "first_name": "David\\u00e9", "last_name": "Brown\\u00e9 Jr"}]',
    ],
    [
      '{"user": 10, "columns": ["_id", "name_short", "display_name"], "where": {}, "from": "instruments"}',
      '[{"_id": 54, "name_short": "Nittany Liquid Probes", "display_name": "NMR PROBES: Nittany Liquid Probes"}]',
    ],
    [
      '{"user": 10, "columns": ["_id", "title"], "where": {"instrument_id": "54"}, "from": "projects"}',
      '[{"_id": "1234a", "title": "Pacifica Development (active no close)"}]',
    ],
    ['{"user": 10, "columns": ["_id"], "from": "projects"}', '[{"_id": "1234a"}]'],
    ['{"user": 10, "columns": ["_id"], "where": null, "from": "projects"}', '[{"_id": "1234a"}]'],
    ['{"user": 7, "columns": ["_id"], "where": {}, "from": "projects"}', '[]'],
  ])('answers %s', async (query, answer) => {
    const got = await ask(query);
    expect([got.status, got.header('Content-Type'), got.text()]).toEqual([200, 'application/json', answer]);
  });

  it.each([
    ['{bad', /Invalid JSON/],
    ['null', /"user"/],
    ['[]', /"user"/],
    ['{"from": "users", "columns": []}', /"user"/],
    ['{"user": 10, "columns": ["_id"]}', /"from"/],
    ['{"user": 10, "from": "files", "columns": ["_id"]}', /"from"/],
    ['{"user": 10, "from": "users"}', /"columns"/],
    ['{"user": 10, "from": "users", "columns": [7]}', /"columns"/],
    ['{"user": 10, "from": "users", "columns": [], "where": 7}', /"where"/],
    ['{"user": 10, "from": "users", "columns": [], "where": []}', /"where"/],
  ])('refuses %s', async (query, message) => {
    expectError(await ask(query), '400 Bad Request', message);
  });

  it('says that there are none where the site has no rules', async () => {
    const answer = await send('POST', '/uploader', { user: 10, from: 'users', columns: ['_id'], where: {} });
    expectError(answer, '404 Not Found', /\[policy\] rules/);
  });

  it('decides of POST /ingest by the user whom the web server names', async () => {
    const post = async (...args: string[]): Promise<CurlAnswer> =>
      curl(['--data-binary', '@-', ...args, `${ruled.url}/ingest`], Buffer.from(JSON.stringify(transactionEntries(1))));
    expect((await post('-H', 'X-Http-Authed-User: dmlb2001')).text()).toBe('{"status": "success"}');
    expectError(await post(), '412 Precondition Failed', /^Precondition Failed: user "root" is not in/);
  });
});

describe('PUT /ingest (metadata)', () => {
  it('stores it, and again; refuses other content with the same id', async () => {
    const [transaction = 0, file = 0] = freshIds(2);
    const metadata = transactionEntries(transaction, fileEntry(file));
    for (let time = 0; time < 2; time += 1) {
      const answer = await send('PUT', '/ingest', metadata);
      expect([answer.status, answer.text()]).toEqual([200, '{"status": "success"}']);
    }
    const other = transactionEntries(transaction, fileEntry(file, { size: 5 }));
    expectError(await send('PUT', '/ingest', other), '409 Conflict', new RegExp(`transaction ${transaction}`));
  });

  it('names the file whose metadata is not right', async () => {
    const [transaction = 0, file = 0] = freshIds(2);
    const metadata = transactionEntries(transaction, fileEntry(file, { name: 'odd.txt', mimetype: 'odd' }));
    expectError(await send('PUT', '/ingest', metadata), '400 Bad Request', /odd\.txt.*mimetype/);
  });
});

describe('GET /files', () => {
  let transaction: number;
  let first: number;
  let second: number;
  beforeAll(async () => {
    [transaction = 0, first = 0, second = 0] = freshIds(3);
    const entries = transactionEntries(
      transaction,
      fileEntry(first, {
        name: 'f00000.bin',
        size: 1000,
        mimetype: 'application/octet-stream',
        mtime: '2016-11-11T22:18:21',
        ctime: '2016-11-11T22:18:21',
      }),
      fileEntry(second, { subdir: '' }),
    );
    await catalog.metadata.ingest(entries, 'root');
  });

  // transcripts.md 3, "files now in metadata"; without what the original adds of tables that it has and we do not
  it('answers with the keys of the original, in their order', async () => {
    const answer = await get(`/files?hashsum=${sumOf(first)}&hashtype=sha1`);
    expect(answer.status).toBe(200);
    const [file] = answer.json() as Record<string, unknown>[];
    const now = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/) as string;
    expect(Object.entries(file ?? {})).toEqual([
      ['created', now],
      ['updated', now],
      ['deleted', null],
      ['_id', first],
      ['name', 'f00000.bin'],
      ['subdir', 'a/b'],
      ['mimetype', 'application/octet-stream'],
      ['ctime', '2016-11-11T22:18:21'],
      ['mtime', '2016-11-11T22:18:21'],
      ['transaction', transaction],
      ['size', 1000],
      ['hashsum', sumOf(first)],
      ['hashtype', 'sha1'],
      ['suspense_date', null],
      ['encoding', 'UTF8'],
    ]);
  });

  it.each([
    ['_id', () => `_id=${first}`, () => [first]],
    ['name', () => 'name=f00000.bin', () => [first]],
    ['transaction', () => `transaction=${transaction}`, () => [second, first]],
    ['transaction_id', () => `transaction_id=${transaction}`, () => [second, first]],
    ['subdir', () => `transaction=${transaction}&subdir=`, () => [second]],
    ['mimetype', () => `transaction=${transaction}&mimetype=text/plain`, () => [second]],
    ['limit', () => `transaction=${transaction}&limit=1`, () => [second]],
    ['below', () => `transaction=${transaction}&below=${second}`, () => [first]],
    ['page', () => `transaction=${transaction}&limit=1&page=2`, () => [first]],
    ["the originals' paging", () => `transaction=${transaction}&items_per_page=1&page_number=2`, () => [first]],
    [
      "the originals' depth",
      () => `transaction=${transaction}&recursion_depth=0&recursion_limit=9`,
      () => [second, first],
    ],
    ['an unknown hash', () => `hashtype=md5&hashsum=${'0'.repeat(32)}`, () => []],
  ])('finds by %s', async (_, query, ids) => {
    const answer = await get(`/files?${query()}`);
    expect(answer.status).toBe(200);
    expect((answer.json() as { _id: number }[]).map(({ _id }) => _id)).toEqual(ids());
  });

  it.each([
    ['_id=abc', /_id/],
    ['transaction=-1', /transaction/],
    ['limit=0', /limit/],
    ['limit=1000000', /limit/],
    ['page=1', /limit/],
    ['hashtype=crc32', /crc32/],
    ['mtime=2016-11-11', /mtime/],
    ['key=a', /key and value/],
    ['value=a', /key and value/],
    ['name=a&name=b', /name/],
    ['name=a%00', /name/],
  ])('refuses %s', async (query, message) => {
    expectError(await get(`/files?${query}`), '400 Bad Request', message);
  });

  it('sends a long list as it is read', async () => {
    await catalog.metadata.ingest(manyFiles(900_000, 900_001, 1700), 'root');
    const answer = await get('/files?transaction=900000');
    expect([answer.exitCode, answer.status]).toEqual([0, 200]);
    expect(answer.header('Content-Type')).toBe('application/json');
    const ids = (answer.json() as { _id: number }[]).map(({ _id }) => _id);
    expect(ids).toEqual(Array.from({ length: 1700 }, (_, index) => 901_700 - index));
    expect((await curl(['--head', `${url}/files?transaction=900000`])).status).toBe(200);
  });
});

describe('GET /keys', () => {
  it('answers with the keys, all or one', async () => {
    const [transaction = 0] = freshIds(1);
    const pairs = ['Temp C', 'Größe'].map((key) => ({ destinationTable: 'TransactionKeyValue', key, value: '27' }));
    await catalog.metadata.ingest(transactionEntries(transaction, ...pairs), 'root');
    const answer = await get(`/keys?key=${encodeURIComponent('Größe')}`);
    const now = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/) as string;
    const id = expect.any(Number) as number;
    const key = {
      created: now,
      updated: now,
      deleted: null,
      _id: id,
      key: 'Größe',
      display_name: 'Größe',
      encoding: 'UTF8',
    };
    expect(answer.json()).toEqual([key]);
    const all = (await get('/keys')).json() as { key: string; _id: number }[];
    expect(all.map((one) => one.key)).toEqual(expect.arrayContaining(['Temp C', 'Größe']));
    const second = (await get('/keys?limit=1&page=2')).json();
    expect(second).toEqual([all[1]]);
    expect((await get(`/keys?_id=${all[0]?._id ?? 0}`)).json()).toEqual([all[0]]);
    expectError(await get('/keys?hashsum=1'), '400 Bad Request', /hashsum/);
  });

  it('sends a long list as it is read', async () => {
    const [transaction = 0] = freshIds(1);
    const pairs = Array.from({ length: 1100 }, (_, index) => ({
      destinationTable: 'TransactionKeyValue',
      key: `key ${index}`,
      value: '',
    }));
    await catalog.metadata.ingest(transactionEntries(transaction, ...pairs), 'root');
    const names = ((await get('/keys')).json() as { key: string }[]).map(({ key }) => key);
    expect(names.length).toBeGreaterThanOrEqual(1100);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('a transaction by its id', () => {
  it.each(['/transactioninfo/by_id', '/status/transactions/by_id'])('at %s', async (path) => {
    const [transaction = 0] = freshIds(1);
    const first = transaction * 10_000;
    await catalog.metadata.ingest(
      [
        ...manyFiles(transaction, first, 1001),
        { destinationTable: 'FileKeyValue', key: 'more', value: 'x', file_id: first },
        { destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '27' },
      ].filter((entry) => !('file_id' in entry) || entry.file_id === first),
      'root',
    );
    const answer = await get(`${path}/${transaction}`);
    expect([answer.exitCode, answer.status]).toEqual([0, 200]);
    const { files, ...info } = answer.json() as { files: Record<string, Record<string, unknown>> };
    expect(info).toMatchObject({
      _id: transaction,
      transaction_id: transaction,
      submitter: 10,
      submitter_id: 10,
      project: '1234a',
      project_id: '1234a',
      instrument: 54,
      instrument_id: 54,
      key_values: { 'Temp C': '27' },
      release_state: 'not_released',
      file_ids: Array.from({ length: 1001 }, (_, index) => first + 1000 - index),
    });
    expect(Object.keys(files)).toHaveLength(1001);
    expect(files[first]).toMatchObject({
      _id: first,
      name: `f${first}.bin`,
      subdir: 'a',
      hashtype: 'sha1',
      key_values: [
        { key: 'number', value: String(first) },
        { key: 'more', value: 'x' },
      ],
    });
    expect(files[first + 1000]).toMatchObject({ key_values: {} });
  });

  it('is 404 when there is none, and 400 when the id is no number', async () => {
    expectError(await get('/transactioninfo/by_id/87654321'), '404 Not Found', /87654321/);
    expectError(await get('/transactioninfo/by_id/abc'), '400 Bad Request', /abc/);
  });

  it('is complete also without files', async () => {
    const [transaction = 0] = freshIds(1);
    await catalog.metadata.ingest(transactionEntries(transaction), 'root');
    expect((await get(`/transactioninfo/by_id/${transaction}`)).json()).toMatchObject({ files: {}, file_ids: [] });
  });
});

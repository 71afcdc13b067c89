import { createHash } from 'node:crypto';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Archive, ArchiveFile } from '../../src/archive/archive.js';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { RemoteArchive } from '../../src/archive/remote-archive.js';
import type { Metadata } from '../../src/catalog/catalog.js';
import { createCatalog, type OpenCatalog } from '../../src/catalog/create.js';
import { proxyApp, type ProxyParts } from '../../src/daemon/proxy.js';
import { type ArchiveId, parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { openBackend } from '../../src/storage/backends/index.js';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { fileEntry, freshIds, transactionEntries } from '../contract/catalog.js';
import { startApp } from '../support/app.js';
import { curl } from '../support/curl.js';
import { silent } from '../support/log.js';
import { startServer, type TestServer } from '../support/server.js';
import { piecesOf, sha1 } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { until } from '../support/until.js';

const MTIME = Date.parse('2016-11-11T22:18:21Z');
const NOT_THERE = {
  status: '404 Not Found',
  message: 'File does not exist.',
  traceback: '',
  version: expect.any(String) as string,
};

let folder: string;
let database: Database;
let catalog: OpenCatalog;
let archive: LocalArchive;
let url: string;
const servers: TestServer[] = [];

async function startProxy(parts: Partial<ProxyParts> = {}): Promise<string> {
  const app = proxyApp(
    { service: 'proxy', log: silent, debug: false },
    { metadata: catalog.metadata, archive, accel: false, accelRoot: '', stageWaitMs: 0, ...parts },
  );
  const server = await startApp(app);
  servers.push(server);
  return server.url;
}

async function serve(handler: RequestListener): Promise<string> {
  const server = await startServer(handler);
  servers.push(server);
  return server.url;
}

/** Puts bytes into archive and metadata as ingest does. @returns the file's id */
async function store(bytes: Buffer, fields: Record<string, unknown> = {}): Promise<ArchiveId> {
  const [transaction = 0, id = 0] = freshIds(2);
  const archiveId = parseArchiveId(id);
  await archive.put(archiveId, piecesOf(bytes), { mtimeMs: MTIME });
  await catalog.metadata.ingest(
    transactionEntries(transaction, fileEntry(id, { hashsum: sha1(bytes), size: bytes.length, ...fields })),
    'root',
  );
  return archiveId;
}

/** The real archive with some of its methods changed. */
function changed(methods: { [Key in keyof Archive]?: Archive[Key] | undefined }): Archive {
  return Object.assign(Object.create(archive) as Archive, {
    open: (id: ArchiveId) => archive.open(id),
    status: (id: ArchiveId) => archive.status(id),
    ...methods,
  });
}

beforeAll(async () => {
  folder = await temporaryFolder();
  database = await Database.open(`sqlite://${join(folder, 'pacifica.db')}`);
  await requireSchema(database);
  catalog = createCatalog({ database, authHeader: 'X-Http-Authed-User' });
  archive = new LocalArchive({ backend: openBackend(`posix://${join(folder, 'archive')}`, { useId2filename: false }) });
  url = await startProxy();
});

afterEach(async () => {
  for (const server of servers.splice(1)) await server.close();
});

afterAll(async () => {
  for (const server of servers) await server.close();
  await archive.close();
  await database.close();
  await removeFolder(folder);
});

describe('GET', () => {
  it('says that it runs', async () => {
    const answer = await curl([`${url}/`]);
    expect(answer.status).toBe(200);
    expect(answer.text()).toBe('{"message": "Pacifica Proxy Up and Running"}');
  });

  it('sends the file with the headers of the original, and ours', async () => {
    const bytes = Buffer.alloc(3_000_001, 'pacifica ');
    await store(bytes, { name: 'f00000.bin' });
    const answer = await curl([`${url}/files/sha1/${sha1(bytes).toUpperCase()}`]);
    expect(answer.exitCode).toBe(0);
    expect(answer.status).toBe(200);
    expect(answer.body.equals(bytes)).toBe(true);
    expect(Object.fromEntries(answer.rawHeaders)).toMatchObject({
      'Content-Type': 'application/octet-stream',
      'Content-Disposition': 'attachment; filename="f00000.bin"',
      'Content-Length': '3000001',
      'Accept-Ranges': 'bytes',
      ETag: `"${sha1(bytes)}"`,
      'Last-Modified': 'Fri, 11 Nov 2016 22:18:21 GMT',
      'Cache-Control': 'max-age=31536000, immutable',
      'Repr-Digest': `sha=:${createHash('sha1').update(bytes).digest('base64')}:`,
    });
  });

  it('sends an empty file', async () => {
    await store(Buffer.alloc(0));
    const answer = await curl([`${url}/files/sha1/${sha1(Buffer.alloc(0))}`]);
    expect([answer.exitCode, answer.status, answer.body.length]).toEqual([0, 200, 0]);
    expect(answer.header('Content-Length')).toBe('0');
  });

  it.each([
    ['an unknown hash', `sha1/${'0'.repeat(40)}`],
    ['a hash that is too short', 'sha1/0000'],
    ['a hash of another type', `md5/${'0'.repeat(40)}`],
    ['an unknown type', `crc32/${'0'.repeat(40)}`],
    ['no hex', `sha1/${'z'.repeat(40)}`],
    ['a path', 'sha1/..%2f..%2fetc%2fpasswd'],
  ])('answers 404 to %s', async (_, path) => {
    for (const method of ['GET', 'HEAD']) {
      const answer = await curl([method === 'HEAD' ? '--head' : '--get', `${url}/files/${path}`]);
      expect(answer.status).toBe(404);
      expect(answer.header('Content-Type')).toBe('application/json');
      if (method === 'GET') expect(answer.json()).toEqual(NOT_THERE);
    }
  });

  it('knows no other paths and methods', async () => {
    expect((await curl([`${url}/files/sha1`])).status).toBe(404);
    const answer = await curl(['-X', 'POST', '-d', 'x=1', `${url}/files/sha1/${'0'.repeat(40)}`]);
    expect(answer.status).toBe(405);
    expect(answer.header('Allow')).toBe('HEAD, GET');
    expect(answer.json()).toMatchObject({ status: '405 Method Not Allowed' });
  });

  // faults.md 24: the original announces the length that the uploader told
  it("announces the archive's length, not the metadata's", async () => {
    const bytes = Buffer.from('seven!!');
    await store(bytes, { size: 1000 });
    const answer = await curl([`${url}/files/sha1/${sha1(bytes)}`]);
    expect([answer.exitCode, answer.header('Content-Length'), answer.text()]).toEqual([0, '7', 'seven!!']);
  });
});

describe('ranges and conditions (faults.md 32)', () => {
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
  const tag = `"${sha1(bytes)}"`;
  const base64 = (type: string): string => createHash(type).update(bytes).digest('base64');
  let file: string;
  beforeAll(async () => {
    await store(bytes);
    file = `${url}/files/sha1/${sha1(bytes)}`;
  });

  it.each([
    ['0-9', 0, 10],
    ['4990-', 4990, 5000],
    ['-10', 4990, 5000],
    ['100-100', 100, 101],
    ['4000-9999', 4000, 5000],
  ])('answers bytes=%s with just these', async (range, start, end) => {
    const answer = await curl(['-r', range, file]);
    expect(answer.status).toBe(206);
    expect(answer.header('Content-Range')).toBe(`bytes ${start}-${end - 1}/5000`);
    expect(answer.header('Content-Length')).toBe(String(end - start));
    expect(answer.body.equals(bytes.subarray(start, end))).toBe(true);
  });

  it('answers what is no range with the whole', async () => {
    for (const range of ['lines=1-2', 'bytes=x']) {
      const answer = await curl(['-H', `Range: ${range}`, file]);
      expect([answer.status, answer.body.length]).toEqual([200, 5000]);
    }
  });

  it('answers several ranges in parts', async () => {
    const answer = await curl(['-H', 'Range: bytes=0-1,4990-', file]);
    expect(answer.status).toBe(206);
    expect(answer.header('Content-Type')).toMatch(/^multipart\/byteranges; boundary=/);
    expect(answer.header('Content-Length')).toBe(String(answer.body.length));
    const text = answer.body.toString('latin1');
    for (const [start, end] of [
      [0, 2],
      [4990, 5000],
    ] as const) {
      const part = `Content-Range: bytes ${start}-${end - 1}/5000\r\n\r\n${bytes.toString('latin1', start, end)}\r\n`;
      expect(text).toContain(part);
    }
  });

  it.each([
    [[], { 'Repr-Digest': `sha=:${base64('sha1')}:` }],
    [['Want-Repr-Digest: sha-256=10'], { 'Repr-Digest': `sha-256=:${base64('sha256')}:` }],
    [['Want-Content-Digest: md5=1'], { 'Content-Digest': `md5=:${base64('md5')}:` }],
    [['Want-Digest: md5'], { Digest: `md5=${base64('md5')}`, 'Content-MD5': base64('md5') }],
    [['Want-Digest: sha'], { Digest: `sha=${base64('sha1')}` }],
  ])('tells digests, asked with %j', async (wants, headers) => {
    const answer = await curl([...wants.flatMap((want) => ['-H', want]), file]);
    expect(Object.fromEntries(answer.rawHeaders)).toMatchObject(headers);
    const head = await curl(['--head', ...wants.flatMap((want) => ['-H', want]), file]);
    // a HEAD reads nothing: what is known is told
    expect(head.header('Repr-Digest')).toBe(`sha=:${base64('sha1')}:`);
  });

  it('refuses a range beyond the end, and tells the length', async () => {
    const answer = await curl(['-r', '5000-', file]);
    expect(answer.status).toBe(416);
    expect(answer.header('Content-Range')).toBe('bytes */5000');
    expect(answer.json()).toMatchObject({ status: '416 Range Not Satisfiable' });
    expect(answer.header('ETag')).toBeUndefined();
  });

  it.each([
    [tag, 206],
    ['Fri, 11 Nov 2016 22:18:21 GMT', 206],
    [`W/${tag}`, 200],
    ['"other"', 200],
    ['Fri, 11 Nov 2016 22:18:22 GMT', 200],
  ])('heeds If-Range %s: %i', async (validator, status) => {
    expect((await curl(['-r', '0-9', '-H', `If-Range: ${validator}`, file])).status).toBe(status);
  });

  it.each([
    ['If-None-Match', tag, 304],
    ['If-None-Match', `"x", W/${tag}`, 304],
    ['If-None-Match', '*', 304],
    ['If-None-Match', '"x"', 200],
    ['If-Modified-Since', 'Fri, 11 Nov 2016 22:18:21 GMT', 304],
    ['If-Modified-Since', 'Fri, 11 Nov 2016 22:18:20 GMT', 200],
    ['If-Match', tag, 200],
    ['If-Match', '"x"', 412],
    ['If-Unmodified-Since', 'Fri, 11 Nov 2016 22:18:20 GMT', 412],
  ])('heeds %s: %s with %i', async (name, value, status) => {
    const answer = await curl(['-H', `${name}: ${value}`, file]);
    expect(answer.status).toBe(status);
    expect(answer.body.length > 0).toBe(status !== 304);
    if (status === 304) expect(answer.header('ETag')).toBe(tag);
  });

  it('lets curl go on where a download broke off', async () => {
    const path = join(folder, 'partial');
    await writeFile(path, bytes.subarray(0, 1234));
    await promisify(execFile)('curl', ['--silent', '--fail', '-C', '-', '-o', path, file]);
    expect((await readFile(path)).equals(bytes)).toBe(true);
  });

  it('reads no bytes for a HEAD', async () => {
    const opened: string[] = [];
    const counting = changed({
      open: async (id) => {
        opened.push(id);
        return archive.open(id);
      },
    });
    const proxy = await startProxy({ archive: counting });
    const answer = await curl(['--head', `${proxy}/files/sha1/${sha1(bytes)}`]);
    expect(answer.status).toBe(200);
    expect(answer.header('Content-Length')).toBe('5000');
    expect(answer.header('ETag')).toBe(tag);
    expect(answer.header('Content-Disposition')).toMatch(/^attachment; filename=/);
    expect(opened).toEqual([]);
  });
});

describe('file names (faults.md 33)', () => {
  it.each([
    ['two words.txt', 'attachment; filename="two words.txt"'],
    ['say "hi".txt', 'attachment; filename="say \\"hi\\".txt"'],
    ['größe.txt', 'attachment; filename="gr__e.txt"; filename*=UTF-8\'\'gr%C3%B6%C3%9Fe.txt'],
    ['日本 語.txt', 'attachment; filename="__ _.txt"; filename*=UTF-8\'\'%E6%97%A5%E6%9C%AC%20%E8%AA%9E.txt'],
    ['a\r\nSet-Cookie: evil=1', 'attachment; filename="a__Set-Cookie: evil=1"'],
    ['x\u0007y', 'attachment; filename="x_y"'],
  ])('sends %j as %s', async (name, header) => {
    const bytes = Buffer.from(`content of ${name}`);
    await store(bytes, { name });
    const answer = await curl([`${url}/files/sha1/${sha1(bytes)}`]);
    expect(answer.header('Content-Disposition')).toBe(header);
    expect(answer.header('Set-Cookie')).toBeUndefined();
    expect(answer.body.equals(bytes)).toBe(true);
  });
});

describe('several files with one hash (faults.md 34)', () => {
  it('sends another one when the newest is gone from the archive', async () => {
    const bytes = Buffer.from('twins');
    await store(bytes, { name: 'old' });
    const newest = await store(bytes, { name: 'new' });
    const file = `${url}/files/sha1/${sha1(bytes)}`;
    expect((await curl([file])).header('Content-Disposition')).toBe('attachment; filename="new"');
    await archive.delete(newest);
    const answer = await curl([file]);
    expect([answer.status, answer.text()]).toEqual([200, 'twins']);
    expect(answer.header('Content-Disposition')).toBe('attachment; filename="old"');
  });

  it('answers 404 when all are gone', async () => {
    const bytes = Buffer.from('all gone');
    for (const id of [await store(bytes), await store(bytes)]) await archive.delete(id);
    const answer = await curl([`${url}/files/sha1/${sha1(bytes)}`]);
    expect([answer.status, answer.json()]).toEqual([404, NOT_THERE]);
  });

  it('looks further when one vanishes between the look and the opening', async () => {
    const bytes = Buffer.from('vanishing');
    await store(bytes);
    const newest = await store(bytes);
    const vanishing = changed({
      open: async (id) => {
        if (id === newest) await archive.delete(id);
        return archive.open(id);
      },
    });
    const proxy = await startProxy({ archive: vanishing });
    expect((await curl([`${proxy}/files/sha1/${sha1(bytes)}`])).text()).toBe('vanishing');
  });

  it('never sends one that was taken out of the catalog', async () => {
    const bytes = Buffer.from('taken out');
    await store(bytes);
    const metadata: Pick<Metadata, 'files'> = {
      async files(query) {
        return (await catalog.metadata.files(query)).map((file) => ({ ...file, deleted: '2020-01-01T00:00:00' }));
      },
    };
    const proxy = await startProxy({ metadata });
    expect((await curl([`${proxy}/files/sha1/${sha1(bytes)}`])).status).toBe(404);
  });
});

describe('files on tape', () => {
  /** The archive with one file on tape, until it was staged and somebody said that it came. */
  function withTape(onTape: ArchiveId, remote: boolean) {
    const staged: string[] = [];
    const looks: string[] = [];
    let isBack = false;
    const tape = changed({
      async status(id) {
        looks.push(id);
        const status = await archive.status(id);
        return id === onTape && !isBack ? { ...status, media: 'tape', bytesPerLevel: [0, status.size] } : status;
      },
      async open(id) {
        if (remote) {
          const file = await archive.open(id);
          return { ...file, status: await tape.status(id), reader: undefined };
        }
        looks.push(id);
        if (id === onTape && !isBack) throw new PacificaError('not-ready', 'on tape');
        return archive.open(id);
      },
      async stage(ids) {
        staged.push(...ids);
        return Promise.resolve();
      },
    });
    return { tape, staged, looks, comeBack: () => (isBack = true) };
  }

  describe.each([
    ['a local archive', false],
    ['an archive elsewhere', true],
  ])('of %s', (_, remote) => {
    it('come after those on disk; one that is on tape only is asked for once', async () => {
      const bytes = Buffer.from(`on tape ${String(remote)}`);
      const onDisk = await store(bytes);
      const onTape = await store(bytes);
      const { tape, staged } = withTape(onTape, remote);
      const file = `${await startProxy({ archive: tape })}/files/sha1/${sha1(bytes)}`;
      expect((await curl([file])).body).toEqual(bytes);
      expect(staged).toEqual([]);
      await archive.delete(onDisk);
      // a HEAD moves no tape
      expect((await curl(['--head', file])).status).toBe(202);
      expect(staged).toEqual([]);
      for (const args of [[file], ['--head', file], [file]]) {
        const answer = await curl(args);
        expect(answer.status).toBe(202);
        expect(Number(answer.header('Retry-After'))).toBeGreaterThan(0);
        expect(answer.header('Content-Disposition')).toBeUndefined();
      }
      expect(staged).toEqual([onTape]);
    });

    it('are sent when they have come, to whoever waited', async () => {
      const bytes = Buffer.from(`waited for ${String(remote)}`);
      const onTape = await store(bytes);
      const { tape, staged, looks, comeBack } = withTape(onTape, remote);
      const file = `${await startProxy({ archive: tape, stageWaitMs: 60_000 })}/files/sha1/${sha1(bytes)}`;
      const waiting = [curl([file]), curl([file])];
      await until('both to look again', () => looks.length > 4);
      comeBack();
      for (const answer of await Promise.all(waiting)) {
        expect([answer.status, answer.body]).toEqual([200, bytes]);
      }
      expect(staged).toEqual([onTape]);
    });
  });

  it('let a client go when the time is over', async () => {
    const bytes = Buffer.from('too long');
    const { tape } = withTape(await store(bytes), false);
    const proxy = await startProxy({ archive: tape, stageWaitMs: 250 });
    const answer = await curl([`${proxy}/files/sha1/${sha1(bytes)}`]);
    expect([answer.status, answer.header('Retry-After')]).toEqual([202, '30']);
  });

  it('are not looked at any more when the client has hung up', async () => {
    const [left, waited] = [Buffer.from('left'), Buffer.from('waited')];
    const [first, second] = [await store(left), await store(waited)];
    const looks: string[] = [];
    const tape = changed({
      async open(id) {
        looks.push(id);
        return Promise.reject(new PacificaError('not-ready', 'on tape'));
      },
      stage: async () => Promise.resolve(),
    });
    const proxy = await startProxy({ archive: tape, stageWaitMs: 60_000 });
    const looksAt = (id: string): number => looks.filter((one) => one === id).length;
    const clients = [left, waited].map((bytes) => {
      const stop = new AbortController();
      const asking = fetch(`${proxy}/files/sha1/${sha1(bytes)}`, { signal: stop.signal }).catch(() => undefined);
      return { stop, asking };
    });
    await until('both to be looked at again', () => looksAt(first) > 1 && looksAt(second) > 1);
    clients[0]?.stop.abort();
    const before = looksAt(first);
    await until('the other to be looked at three times more', () => looksAt(second) > 4);
    // one look may have been under way
    expect(looksAt(first)).toBeLessThanOrEqual(before + 1);
    clients[1]?.stop.abort();
    await Promise.all(clients.map(({ asking }) => asking));
  });
});

describe('when what is behind it fails (faults.md 31)', () => {
  const failure = JSON.stringify({
    status: '500 Internal Server Error',
    message: 'secret',
    traceback: '/srv',
    version: '1',
  });
  const bytes = Buffer.from('behind');
  let path: string;
  beforeAll(async () => {
    await store(bytes);
    path = `/files/sha1/${sha1(bytes)}`;
  });

  async function withArchive(base: string): Promise<string> {
    const remote = new RemoteArchive({ url: base, spool: join(folder, 'spool'), retryBudgetMs: 0 });
    return startProxy({ archive: remote });
  }

  it("never sends the archive's error as the file", async () => {
    const broken = await serve((_, res) => {
      res.writeHead(500, { 'Content-Type': 'application/json' }).end(failure);
    });
    const answer = await curl([`${await withArchive(broken)}${path}`]);
    expect(answer.status).toBe(502);
    expect(answer.json()).toMatchObject({ status: '502 Bad Gateway', traceback: '' });
    expect(answer.text()).not.toContain('secret');
    expect(answer.header('Content-Disposition')).toBeUndefined();
  });

  it('nor when only the bytes fail', async () => {
    const broken = await serve((req, res) => {
      if (req.method === 'HEAD') res.writeHead(204, { 'X-Content-Length': '6', 'Last-Modified': '1478902701.5' }).end();
      else res.writeHead(500, { 'Content-Type': 'application/json' }).end(failure);
    });
    const answer = await curl([`${await withArchive(broken)}${path}`]);
    expect(answer.status).toBe(502);
    expect(answer.text()).not.toContain('secret');
    expect(answer.header('Content-Disposition')).toBeUndefined();
  });

  it('cuts the connection when the archive ends in the middle', async () => {
    const cut = await serve((req, res) => {
      if (req.method === 'HEAD') {
        res.writeHead(204, { 'X-Content-Length': '200000', 'Last-Modified': '1478902701.5' }).end();
        return;
      }
      res.writeHead(200, { 'Content-Length': '200000' });
      res.write(Buffer.alloc(100_000), () => res.destroy());
    });
    const answer = await curl([`${await withArchive(cut)}${path}`]);
    expect(answer.status).toBe(200);
    expect(answer.header('Content-Length')).toBe('200000');
    // 18: transfer closed with bytes outstanding
    expect(answer.exitCode).toBe(18);
  });

  it('answers 404 when the archive has no such file', async () => {
    const empty = await serve((_, res) => {
      res.writeHead(404, { 'Content-Type': 'application/json' }).end(failure);
    });
    const answer = await curl([`${await withArchive(empty)}${path}`]);
    expect([answer.status, answer.json()]).toEqual([404, NOT_THERE]);
  });

  it('answers 502 when the archive can not be reached, 504 when it does not answer in time', async () => {
    const gone = await startServer(() => undefined);
    await gone.close();
    const unreachable = await curl([`${await withArchive(gone.url)}${path}`]);
    expect(unreachable.status).toBe(502);
    expect(unreachable.text()).not.toContain(gone.url);
  });

  const never = async (): Promise<never> => new Promise(() => undefined);
  it.each<[string, () => Promise<Partial<ProxyParts>>]>([
    ['metadata', async () => ({ metadata: { files: never } })],
    ['the archive, asked for the file', async () => ({ archive: changed({ open: never }) })],
    ['the archive, asked what it knows of it', async () => ({ archive: changed({ status: never }), accel: true })],
    [
      'the archive, asked for it from tape',
      async () => ({
        archive: changed({
          open: async () => Promise.reject(new PacificaError('not-ready', 'on tape')),
          stage: never,
        }),
      }),
    ],
    [
      "the archive's first byte",
      async () => ({
        archive: changed({
          async open(id) {
            const file = await archive.open(id);
            return {
              status: file.status,
              stream: () => ({ [Symbol.asyncIterator]: () => ({ next: never }) }),
              close: () => file.close(),
            };
          },
        }),
      }),
    ],
    [
      'an archive interface that takes the connection',
      async () => ({
        archive: new RemoteArchive({ url: await serve(() => undefined), spool: join(folder, 'spool') }),
      }),
    ],
  ])('answers 504 in time when it waits for %s', async (_, parts) => {
    const answer = await curl([
      '--max-time',
      '20',
      `${await startProxy({ ...(await parts()), answerLimitMs: 200 })}${path}`,
    ]);
    expect([answer.status, answer.json()]).toMatchObject([504, { status: '504 Gateway Timeout', traceback: '' }]);
    for (const name of ['Content-Disposition', 'ETag', 'Repr-Digest', 'Cache-Control', 'X-Accel-Redirect']) {
      expect(answer.header(name)).toBeUndefined();
    }
  });

  it('closes a file that was opened too late', async () => {
    let open: ((file: ArchiveFile) => void) | undefined;
    const late = changed({ open: async () => new Promise<ArchiveFile>((resolve) => (open = resolve)) });
    const answer = await curl([`${await startProxy({ archive: late, answerLimitMs: 100 })}${path}`]);
    expect(answer.status).toBe(504);
    let closed = false;
    const file = { close: async () => void (closed = true) };
    open?.(file as ArchiveFile);
    await until('it to be closed', () => closed);
  });

  it('asks the archive once for what it then fetches', async () => {
    const asked: string[] = [];
    const counting = await serve((req, res) => {
      asked.push(req.method ?? '');
      if (req.method === 'HEAD') res.writeHead(204, { 'X-Content-Length': '6', 'Last-Modified': '1478902701.5' }).end();
      else res.writeHead(200, { 'Content-Length': '6' }).end(bytes);
    });
    const proxy = await withArchive(counting);
    expect((await curl([`${proxy}${path}`])).text()).toBe('behind');
    expect(asked).toEqual(['HEAD', 'GET']);
    expect((await curl(['--head', `${proxy}${path}`])).header('Content-Length')).toBe('6');
    expect(asked).toEqual(['HEAD', 'GET', 'HEAD']);
  });

  it('answers 502 when metadata can not be reached, soon', async () => {
    const gone = await startServer(() => undefined);
    await gone.close();
    const remote = createCatalog({ database, metadataUrl: gone.url, authHeader: 'X' });
    const proxy = await startProxy({ metadata: remote.metadata });
    const started = performance.now();
    const answer = await curl([`${proxy}${path}`]);
    expect([answer.status, answer.json()]).toMatchObject([502, { status: '502 Bad Gateway', traceback: '' }]);
    expect(performance.now() - started).toBeLessThan(10_000);
    await remote.close();
  });

  it('finds out that a file has shrunk since it was opened', async () => {
    const big = Buffer.alloc(8 * 2 ** 20, 7);
    const id = await store(big);
    const shrinking = changed({
      async open(which) {
        const file = await archive.open(which);
        const real = await archive.localPath?.(id);
        await truncate(real ?? '', 2 ** 20);
        return file;
      },
    });
    const answer = await curl([`${await startProxy({ archive: shrinking })}/files/sha1/${sha1(big)}`]);
    expect(answer.exitCode).toBe(18);
    expect(answer.body.length).toBeLessThan(big.length);
  });
});

describe('accel', () => {
  // transcripts.md 4, accel
  it('leaves the bytes to nginx, which asks the archive', async () => {
    const bytes = Buffer.from('sent by nginx');
    const id = await store(bytes, { name: 'f.bin' });
    const proxy = await startProxy({ accel: true });
    for (const args of [[], ['-r', '0-3']]) {
      const answer = await curl([...args, `${proxy}/files/sha1/${sha1(bytes)}`]);
      expect(answer.status).toBe(200);
      expect(answer.header('X-Accel-Redirect')).toBe(`/archivei_accel/${id}`);
      expect(answer.header('Content-Disposition')).toBe('attachment; filename="f.bin"');
      expect(answer.header('Content-Type')).toBe('application/octet-stream');
      expect(answer.header('Content-Length')).toBe('0');
      expect(answer.header('ETag')).toBe(`"${sha1(bytes)}"`);
      expect(answer.body.length).toBe(0);
    }
  });

  it.each([
    ['accel', { accel: true, accelRoot: '' }],
    ['accel_root', { accel: false, accelRoot: '/files_of_ours' }],
  ])(
    '%s leaves to nginx neither a HEAD, which costs nothing, nor a condition, which it can not decide',
    async (_, how) => {
      const bytes = Buffer.from('conditions of accel');
      await store(bytes);
      const file = `${await startProxy(how)}/files/sha1/${sha1(bytes)}`;
      const tag = `"${sha1(bytes)}"`;
      for (const [args, status, length] of [
        [['--head'], 200, 19],
        [['-H', `If-None-Match: ${tag}`], 304, undefined],
        [['-H', `If-Match: ${tag}`], 200, 19],
        [['-H', 'If-Match: "other"'], 412, undefined],
        [['-H', `If-Range: ${tag}`, '-r', '0-3'], 206, 4],
        [['-H', 'If-Range: "other"', '-r', '0-3'], 200, 19],
      ] as const) {
        const answer = await curl([...args, file]);
        expect([args, answer.status, answer.header('X-Accel-Redirect')]).toEqual([args, status, undefined]);
        if (length !== undefined) expect(answer.header('Content-Length')).toBe(String(length));
        if (length !== undefined && args[0] !== '--head') expect(answer.body).toEqual(bytes.subarray(0, length));
      }
      expect((await curl([file])).header('X-Accel-Redirect')).toBeDefined();
    },
  );

  it('accel_root leads straight to the file of a local archive', async () => {
    const bytes = Buffer.from('straight to the file');
    const id = await store(bytes, { name: 'f.bin' });
    for (const accel of [false, true]) {
      const proxy = await startProxy({ accel, accelRoot: '/archive_files' });
      const answer = await curl([`${proxy}/files/sha1/${sha1(bytes)}`]);
      expect([answer.status, answer.header('X-Accel-Redirect')]).toEqual([200, `/archive_files/${id}`]);
      expect(answer.header('Content-Disposition')).toBe('attachment; filename="f.bin"');
      expect([answer.header('Content-Length'), answer.body.length]).toEqual(['0', 0]);
    }
  });

  it('accel_root escapes what nginx would take for something else, and knows folders', async () => {
    const bytes = Buffer.from('odd path');
    await store(bytes);
    const root = archive.localRoot ?? '';
    const odd = changed({ localRoot: root, localPath: async () => join(root, 'a b', '50%?#ü') });
    const proxy = await startProxy({ archive: odd, accelRoot: '/archive_files' });
    const answer = await curl([`${proxy}/files/sha1/${sha1(bytes)}`]);
    expect(answer.header('X-Accel-Redirect')).toBe('/archive_files/a%20b/50%25%3F%23%C3%BC');
  });

  it('accel_root looks further when the file vanishes before its path is known', async () => {
    const bytes = Buffer.from('vanishing path');
    const old = await store(bytes);
    const newest = await store(bytes);
    const vanishing = changed({
      localRoot: archive.localRoot,
      async localPath(id) {
        if (id === newest) await archive.delete(id);
        return (await archive.localPath?.(id)) ?? '';
      },
    });
    const proxy = await startProxy({ archive: vanishing, accelRoot: '/archive_files' });
    const answer = await curl([`${proxy}/files/sha1/${sha1(bytes)}`]);
    expect(answer.header('X-Accel-Redirect')).toBe(`/archive_files/${old}`);
  });

  it('accel_root has no effect where the files are elsewhere', async () => {
    const bytes = Buffer.from('elsewhere');
    const id = await store(bytes);
    const far = changed({ localRoot: undefined, localPath: undefined });
    const own = await startProxy({ archive: far, accelRoot: '/archive_files' });
    expect((await curl([`${own}/files/sha1/${sha1(bytes)}`])).text()).toBe('elsewhere');
    const asked = await startProxy({ archive: far, accelRoot: '/archive_files', accel: true });
    const answer = await curl([`${asked}/files/sha1/${sha1(bytes)}`]);
    expect(answer.header('X-Accel-Redirect')).toBe(`/archivei_accel/${id}`);
  });

  it('tells nothing of a file on tape but that it comes', async () => {
    const bytes = Buffer.from('accel on tape');
    await store(bytes);
    const tape = changed({
      status: async (id) => ({ ...(await archive.status(id)), media: 'tape' }),
      stage: async () => Promise.resolve(),
    });
    const proxy = await startProxy({ archive: tape, accel: true });
    const answer = await curl([`${proxy}/files/sha1/${sha1(bytes)}`]);
    expect([answer.status, answer.header('X-Accel-Redirect')]).toEqual([202, undefined]);
  });

  it('names a file that is there, and none when all are gone', async () => {
    const bytes = Buffer.from('accelerated twins');
    const old = await store(bytes);
    const newest = await store(bytes);
    const file = `${await startProxy({ accel: true })}/files/sha1/${sha1(bytes)}`;
    await archive.delete(newest);
    expect((await curl([file])).header('X-Accel-Redirect')).toBe(`/archivei_accel/${old}`);
    await archive.delete(old);
    const answer = await curl([file]);
    expect([answer.status, answer.json()]).toEqual([404, NOT_THERE]);
    expect(answer.header('X-Accel-Redirect')).toBeUndefined();
  });
});

it('lets curl save the file under its name', async () => {
  const bytes = Buffer.from('saved by name');
  await store(bytes, { name: 'saved by name.txt' });
  await promisify(execFile)('curl', ['--silent', '-O', '-J', `${url}/files/sha1/${sha1(bytes)}`], { cwd: folder });
  expect((await stat(join(folder, 'saved by name.txt'))).size).toBe(bytes.length);
});

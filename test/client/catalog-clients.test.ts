import { afterEach, describe, expect, it } from 'vitest';
import type { IncomingHttpHeaders } from 'node:http';
import { RemotePolicy } from '../../src/catalog/policy.js';
import { RemoteMetadata } from '../../src/catalog/remote-metadata.js';
import { MetadataClient } from '../../src/client/metadata-client.js';
import { PolicyClient } from '../../src/client/policy-client.js';
import { UniqueIdClient } from '../../src/client/unique-id-client.js';
import { fileEntry, sumOf, transactionEntries } from '../contract/catalog.js';
import { startServer, type TestServer } from '../support/server.js';

/** An answer as the original services sent it (transcripts). */
interface Recorded {
  status: number;
  body: string;
  type?: string;
}

interface Seen {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

function closing<T extends { close(): Promise<void> }>(one: T): T {
  opened.push(one);
  return one;
}

/** A server that gives recorded answers in turn, the last one again and again. */
async function replay(...answers: Recorded[]): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server: TestServer = await startServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { method, url, headers } = req;
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      const answer = answers[Math.min(seen.length, answers.length) - 1];
      res.writeHead(answer?.status ?? 500, {
        'Content-Type': answer?.type ?? 'application/json',
        Server: 'CherryPy/18.8.0',
        Allow: 'GET, HEAD',
      });
      res.end(answer?.body);
    });
  });
  closing(server);
  return { url: server.url, seen };
}

const ok = (body: unknown): Recorded => ({ status: 200, body: JSON.stringify(body) });

function failure(status: string, message: string): Recorded {
  const body = {
    status,
    message,
    traceback: 'Traceback (most recent call last):\n  File "REF/x.py"',
    version: '18.8.0',
  };
  return { status: Number(status.slice(0, 3)), body: JSON.stringify(body) };
}

const UNEXPECTED = 'The server encountered an unexpected condition which prevented it from fulfilling the request.';

describe('UniqueIdClient with the original service', () => {
  it('asks as old clients do', async () => {
    const { url, seen } = await replay(ok({ startIndex: 1, endIndex: 10 }));
    const client = closing(new UniqueIdClient(`${url}/`));
    expect(await client.take('file', 10)).toEqual({ start: 1, end: 10 });
    expect(seen).toMatchObject([{ method: 'GET', url: '/getid?range=10&mode=file' }]);
  });

  it.each([
    ['what it says to a range below 1', { startIndex: -1, endIndex: -3 }],
    ['fewer numbers than asked for', { startIndex: 1, endIndex: 9 }],
    ['more than asked for', { startIndex: 1, endIndex: 11 }],
    ['no numbers', { message: 'hello' }],
    ['null', null],
    ['numbers that are none', { startIndex: 'a', endIndex: 'b' }],
    ['numbers too large to count with', { startIndex: 2 ** 53, endIndex: 2 ** 53 + 10 }],
  ])('does not believe %s', async (_, body) => {
    const { url } = await replay(ok(body));
    const taking = closing(new UniqueIdClient(url)).take('file', 10);
    await expect(taking).rejects.toMatchObject({ code: 'bad-gateway' });
  });

  it.each([
    ['null', { startIndex: null, endIndex: null }],
    ['an empty text', { startIndex: '', endIndex: '' }],
    ['no', { startIndex: false, endIndex: false }],
    ['a list', { startIndex: [7], endIndex: [7] }],
    ['much', { startIndex: 'x'.repeat(100_000), endIndex: 1 }],
  ])('does not take %s for one number, nor tell more of it than its beginning', async (_, body) => {
    // in JavaScript each of them is equal to some number, and a job of that number would be begun
    const { url } = await replay(ok(body));
    const error: unknown = await closing(new UniqueIdClient(url))
      .take('upload_job', 1)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'bad-gateway' });
    // it is told to whoever wanted a job, and kept with one
    expect((error as Error).message.length).toBeLessThan(1000);
  });

  it('tries again what may pass', async () => {
    const { url, seen } = await replay(failure('503 Service Unavailable', 'busy'), ok({ startIndex: 5, endIndex: 5 }));
    expect(await closing(new UniqueIdClient(url)).take('file', 1)).toEqual({ start: 5, end: 5 });
    expect(seen).toHaveLength(2);
  });
});

describe('PolicyClient with the original service', () => {
  it('sends metadata and user', async () => {
    const { url, seen } = await replay(ok({ status: 'success' }));
    const metadata = transactionEntries(1);
    await closing(new PolicyClient(`${url}/ingest`, 'X-Remote-User')).check(metadata, 'dmlb2001');
    expect(seen).toMatchObject([
      {
        method: 'POST',
        url: '/ingest',
        headers: { 'content-type': 'application/json', 'x-remote-user': 'dmlb2001' },
        body: JSON.stringify(metadata),
      },
    ]);
  });

  it('forbids with the reason that the service gave', async () => {
    const reason = 'Precondition Failed: Invalid values for project';
    const { url, seen } = await replay(failure('412 Precondition Failed', reason));
    const checking = closing(new PolicyClient(`${url}/ingest`, 'X')).check(transactionEntries(1), 'root');
    await expect(checking).rejects.toMatchObject({ code: 'forbidden', message: reason });
    expect(seen).toHaveLength(1);
  });

  it('takes no other refusal for a word of policy', async () => {
    const { url } = await replay(failure('400 Bad Request', 'Invalid JSON document'));
    const checking = closing(new PolicyClient(`${url}/ingest`, 'X')).check([], 'root');
    await expect(checking).rejects.toMatchObject({ code: 'invalid' });
  });

  it('tries again what may pass', async () => {
    const { url, seen } = await replay(failure('503 Service Unavailable', 'busy'), ok({ status: 'success' }));
    await closing(new PolicyClient(`${url}/ingest`, 'X')).check(transactionEntries(1), 'root');
    expect(seen.map(({ body }) => body)).toEqual(Array(2).fill(JSON.stringify(transactionEntries(1))));
  });

  it('is not asked about metadata that does not say whose it is: it may allow everything', async () => {
    const { url, seen } = await replay(ok({ status: 'success' }));
    const policy = new RemotePolicy(closing(new PolicyClient(`${url}/ingest`, 'X')));
    const checking = policy.check(transactionEntries(1).slice(2), 'root');
    await expect(checking).rejects.toMatchObject({ code: 'forbidden', message: 'Invalid values for submitter' });
    expect(seen).toEqual([]);
    await policy.check(transactionEntries(1), 'root');
    expect(seen).toHaveLength(1);
  });

  it('tells only the beginning of an answer that is no word of policy: a job keeps it', async () => {
    const { url } = await replay(ok(Array(100_000).fill('x')));
    const error: unknown = await closing(new PolicyClient(`${url}/ingest`, 'X'))
      .check([], 'root')
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'bad-gateway',
      message: expect.stringMatching(/answered \["x","x",/) as unknown,
    });
    expect((error as Error).message.length).toBeLessThan(1000);
  });

  it('takes no other page for a permission', async () => {
    const { url } = await replay({ status: 200, body: '{"status": "failure"}' });
    const checking = closing(new PolicyClient(`${url}/ingest`, 'X')).check([], 'root');
    await expect(checking).rejects.toMatchObject({ code: 'bad-gateway' });
  });
});

describe('MetadataClient with the original service', () => {
  // transcripts.md 3, "files now in metadata"
  const recorded = {
    created: '2026-11-20T11:54:22',
    updated: '2026-11-20T11:54:22',
    deleted: null,
    _id: 1011,
    metadata: [],
    files: [],
    name: 'f00000.bin',
    subdir: 'a/b',
    mimetype: 'application/octet-stream',
    ctime: '2016-11-11T22:18:21',
    mtime: '2016-11-11T22:18:21',
    transaction: 1001,
    size: 1000,
    hashsum: 'ba61e3b5f63c30cfab64f163c07a075daa86a9f9',
    hashtype: 'sha1',
    suspense_date: null,
    encoding: 'UTF8',
  };

  const open = (url: string): RemoteMetadata =>
    new RemoteMetadata(closing(new MetadataClient({ url, userHeader: 'X-Http-Authed-User' })));

  it('looks a file up by its hash', async () => {
    const { url, seen } = await replay(ok([recorded]));
    const query = { hashtype: 'sha1', hashsum: 'BA61E3B5F63C30CFAB64F163C07A075DAA86A9F9' };
    expect(await open(url).files(query)).toEqual([recorded]);
    const asked = new URL(seen[0]?.url ?? '', url);
    expect(asked.pathname).toBe('/files');
    expect(Object.fromEntries(asked.searchParams)).toEqual({ hashtype: 'sha1', hashsum: recorded.hashsum });
  });

  it('gives newest first what the service gives in another order, and pages that it does not know of', async () => {
    const { url } = await replay(ok([recorded, { ...recorded, _id: 1013 }, { ...recorded, _id: 1012, subdir: '/x/' }]));
    const files = await open(url).files({ hashsum: recorded.hashsum });
    expect(files.map(({ _id, subdir }) => [_id, subdir])).toEqual([
      [1013, 'a/b'],
      [1012, 'x'],
      [1011, 'a/b'],
    ]);
    expect(await open(url).files({ hashsum: recorded.hashsum, below: 1012 })).toHaveLength(1);
  });

  it('looks again when that may pass', async () => {
    const { url, seen } = await replay(failure('503 Service Unavailable', 'busy'), ok([recorded]));
    expect(await open(url).files({ hashsum: recorded.hashsum })).toEqual([recorded]);
    expect(seen).toHaveLength(2);
  });

  it('finds nothing', async () => {
    const { url } = await replay(ok([]));
    expect(await open(url).files({ hashsum: recorded.hashsum })).toEqual([]);
  });

  it.each([
    ['an object', { message: 'Pacifica Metadata Up and Running' }],
    ['a file without id', [{ ...recorded, _id: undefined }]],
    ['a file without a size', [{ ...recorded, size: 'big' }]],
    ['a list of something', [7]],
  ])('can not use %s', async (_, body) => {
    const { url } = await replay(ok(body));
    await expect(open(url).files({ hashsum: recorded.hashsum })).rejects.toMatchObject({ code: 'bad-gateway' });
  });

  const metadata = transactionEntries(1001, fileEntry(1011, { hashsum: recorded.hashsum }));

  it('puts metadata with the user', async () => {
    const { url, seen } = await replay(ok({ status: 'success' }));
    await open(url).ingest(metadata, 'dmlb2001');
    expect(seen).toMatchObject([
      {
        method: 'PUT',
        url: '/ingest',
        headers: { 'content-type': 'application/json', 'x-http-authed-user': 'dmlb2001' },
        body: JSON.stringify(metadata),
      },
    ]);
  });

  const duplicate = failure(
    '400 Bad Request',
    'Could not insert records [ID: 1001] due to duplicated ID values. Remove or change the duplicated id values',
  );

  it('takes it for done when the very same is there already', async () => {
    const { url, seen } = await replay(duplicate, ok([recorded]));
    await open(url).ingest(metadata, 'root');
    expect(seen.map(({ method }) => method)).toEqual(['PUT', 'GET']);
    expect(new URL(seen[1]?.url ?? '', url).searchParams.get('transaction_id')).toBe('1001');
  });

  it.each([
    ['another hash', [{ ...recorded, hashsum: sumOf(7) }]],
    ['another file', [{ ...recorded, _id: 1 }]],
    ['one file more', [recorded, { ...recorded, _id: 1012 }]],
  ])('says that the id is taken by %s', async (_, files) => {
    const { url } = await replay(duplicate, ok(files));
    await expect(open(url).ingest(metadata, 'root')).rejects.toMatchObject({
      code: 'exists',
      message: expect.stringContaining('duplicated ID') as string,
    });
  });

  it('takes a transaction without files for done when the service knows it', async () => {
    const { url, seen } = await replay(duplicate, ok([]), ok({ _id: 1001 }));
    await open(url).ingest(transactionEntries(1001), 'root');
    expect(seen[2]).toMatchObject({ method: 'GET', url: '/transactioninfo/by_id/1001' });
  });

  it('compares all files, a thousand at a time', async () => {
    const ids = Array.from({ length: 1001 }, (_, index) => index + 1);
    const sent = transactionEntries(1001, ...ids.map((id) => fileEntry(id)));
    const there = ids.map((id) => ({ ...recorded, _id: id, hashsum: sumOf(id) }));
    const first = ok(there.slice(0, 1000));
    const whole = await replay(duplicate, first, ok(there.slice(1000)));
    await open(whole.url).ingest(sent, 'root');
    for (const last of [[], [{ ...recorded, _id: 1001, hashsum: sumOf(7) }]]) {
      const { url } = await replay(duplicate, first, ok(last));
      await expect(open(url).ingest(sent, 'root')).rejects.toMatchObject({ code: 'exists' });
    }
  });

  it('passes on why the service refuses what is not there', async () => {
    const { url } = await replay(failure('400 Bad Request', 'no such instrument'), ok([]));
    await expect(open(url).ingest(metadata, 'root')).rejects.toMatchObject({
      code: 'invalid',
      message: 'no such instrument',
    });
  });

  it('does not take an error of the service for a refusal', async () => {
    const { url, seen } = await replay(failure('500 Internal Server Error', UNEXPECTED));
    await expect(open(url).ingest(metadata, 'root')).rejects.toMatchObject({ code: 'bad-gateway' });
    expect(seen).toHaveLength(1);
  });

  it('puts to the ingest URL that is set apart', async () => {
    const { url, seen } = await replay(ok({ status: 'success' }));
    const options = { url: 'http://127.0.0.1:1', ingestUrl: `${url}/other/ingest`, userHeader: 'X' };
    await new RemoteMetadata(closing(new MetadataClient(options))).ingest(metadata, 'root');
    expect(seen).toMatchObject([{ method: 'PUT', url: '/other/ingest' }]);
  });
});

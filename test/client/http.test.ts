import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { HttpClient, ServiceError, retrying } from '../../src/client/http.js';
import { PacificaError } from '../../src/lib/errors.js';
import { startServer, type TestServer } from '../support/server.js';

let client: HttpClient;
let server: TestServer | undefined;

beforeEach(() => {
  client = new HttpClient('the archive');
});

afterEach(async () => {
  await client.close();
  await server?.close();
  server = undefined;
});

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
  return Promise.resolve();
}

async function bodyText(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const chunk of body) text += Buffer.from(chunk).toString();
  return text;
}

async function echo(): Promise<TestServer> {
  return startServer((req, res) => {
    void (async () => {
      const body = await bodyText(req);
      res.setHeader('X-Length', req.headers['content-length'] ?? 'none');
      res.setHeader('X-Coding', req.headers['transfer-encoding'] ?? 'none');
      res.end(`${req.method ?? ''} ${body}`);
    })();
  });
}

test('a stream of known length goes out with that length, others chunked', async () => {
  server = await echo();
  const known = await client.request({ method: 'PUT', url: server.url, body: pieces('ab', 'cd'), size: 4 });
  expect(known.header('X-Length')).toBe('4');
  expect(await bodyText(known.body)).toBe('PUT abcd');
  const chunked = await client.request({ method: 'PUT', url: server.url, body: pieces('ab', 'cd') });
  expect(chunked.header('x-coding')).toBe('chunked');
  expect(await bodyText(chunked.body)).toBe('PUT abcd');
});

test("a stream that is not as long as announced is the caller's mistake", async () => {
  server = await echo();
  await expect(client.request({ method: 'PUT', url: server.url, body: pieces('ab'), size: 4 })).rejects.toMatchObject({
    code: 'invalid',
  });
});

test('what the source of a body throws comes out as it is', async () => {
  server = await echo();
  const failure = new PacificaError('integrity', 'the source broke');
  async function* source(): AsyncGenerator<Buffer> {
    yield Buffer.from('a');
    await Promise.reject(failure);
  }
  await expect(client.request({ method: 'PUT', url: server.url, body: source(), size: 4 })).rejects.toBe(failure);
});

test('a service that is not there is named, and may come back', async () => {
  server = await startServer(() => undefined);
  const { url } = server;
  await server.close();
  server = undefined;
  const failure = await client.request({ method: 'GET', url: `${url}/1?secret=1` }).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'unavailable',
    message: `can not reach the archive at ${url}: connection refused`,
    hint: expect.stringContaining('URL') as string,
  });
});

test('a service that is silent is a timeout', async () => {
  server = await startServer(() => undefined);
  await expect(client.request({ method: 'GET', url: server.url, headersTimeout: 50 })).rejects.toMatchObject({
    code: 'timeout',
  });
});

test('a body that is cut is an error, never a short body', async () => {
  server = await startServer((_req, res) => {
    res.writeHead(200, { 'Content-Length': 10 });
    res.write('abc', () => res.destroy());
  });
  const answer = await client.request({ method: 'GET', url: server.url });
  await expect(bodyText(answer.body)).rejects.toMatchObject({ code: 'unavailable' });
});

test('a connection is used again, also after answers without a body that nobody reads', async () => {
  const sockets = new Set<unknown>();
  server = await startServer((req, res) => {
    sockets.add(req.socket);
    res.writeHead(req.method === 'DELETE' ? 204 : 200, req.method === 'HEAD' ? { 'Content-Length': 5 } : {});
    res.end();
  });
  for (const method of ['HEAD', 'DELETE', 'HEAD', 'GET']) {
    const answer = await client.request({ method, url: server.url });
    // as long as the socket takes to be free again
    await new Promise((resolve) => setImmediate(resolve));
    if (method === 'GET') expect(await bodyText(answer.body)).toBe('');
  }
  expect(sockets.size).toBe(1);
});

test('a signal stops a request', async () => {
  server = await startServer(() => undefined);
  const stop = new AbortController();
  const going = client.request({ method: 'GET', url: server.url, signal: stop.signal });
  await once(server.server, 'request');
  stop.abort();
  await expect(going).rejects.toMatchObject({ code: 'aborted' });
});

test('an answer that is no HTTP is not ours to blame on the caller', async () => {
  const tcp = createTcpServer((socket) => socket.end('hello\r\n\r\n'));
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const address = tcp.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  await expect(client.request({ method: 'GET', url: `http://127.0.0.1:${address.port}/` })).rejects.toMatchObject({
    code: 'unavailable',
  });
  tcp.close();
});

test.each([
  [400, 'invalid'],
  [401, 'forbidden'],
  [403, 'forbidden'],
  [404, 'not-found'],
  [409, 'exists'],
  [411, 'invalid'],
  [412, 'precondition'],
  [413, 'too-large'],
  [416, 'range'],
  [429, 'unavailable'],
  [500, 'bad-gateway'],
  [502, 'bad-gateway'],
  [503, 'unavailable'],
  [504, 'timeout'],
  [507, 'no-space'],
  [302, 'bad-gateway'],
])('status %i becomes %s with the message of the server', async (status, code) => {
  server = await startServer((_req, res) => {
    res.writeHead(status, { 'Content-Type': 'application/json', 'Retry-After': '7' });
    res.end(JSON.stringify({ status: 'x', message: 'what the server says', traceback: '', version: '1' }));
  });
  const failure: unknown = await client
    .expect([200], { method: 'GET', url: server.url })
    .catch((error: unknown) => error);
  if (!(failure instanceof ServiceError)) throw new Error('no ServiceError');
  expect(failure).toMatchObject({ code, status, retryAfter: 7000 });
  expect(failure.message).toContain('what the server says');
});

test('an error body that is no JSON leaves the status', async () => {
  server = await startServer((_req, res) => {
    res.writeHead(404);
    res.end('<html>');
  });
  await expect(client.expect([200], { method: 'GET', url: server.url })).rejects.toMatchObject({
    code: 'not-found',
    message: `the archive at ${server.url} answered 404`,
  });
});

test.each([
  [404, 'Nothing matches the given URI'],
  [405, 'Specified method is invalid for this resource'],
])('a service that answers %i, %s, is named: the URL is that of another one', async (status, message) => {
  server = await startServer((_req, res) => void res.writeHead(status).end(JSON.stringify({ message })));
  await expect(client.expect([200], { method: 'GET', url: `${server.url}/upload` })).rejects.toMatchObject({
    message: `the archive at ${server.url}/upload answered ${status}: ${message}`,
    hint: 'see whether the URL is that of the archive',
    status,
  });
});

test('JSON that is none, or too long, is a bad gateway', async () => {
  server = await startServer((_req, res) => res.end('{"a": 1} x'));
  const answer = await client.request({ method: 'GET', url: server.url });
  await expect(answer.json()).rejects.toMatchObject({ code: 'bad-gateway' });
  const long = await client.request({ method: 'GET', url: server.url });
  await expect(long.json(5)).rejects.toMatchObject({ code: 'bad-gateway' });
});

test('retrying repeats what may pass, until it passes', async () => {
  let tries = 0;
  const result = await retrying(async () => {
    tries += 1;
    if (tries < 3) throw new PacificaError('unavailable', 'down');
    return Promise.resolve('up');
  });
  expect([result, tries]).toEqual(['up', 3]);
});

test('retrying never repeats what will not pass', async () => {
  let tries = 0;
  const work = async (): Promise<void> => {
    tries += 1;
    return Promise.reject(new PacificaError('invalid', 'wrong'));
  };
  await expect(retrying(work)).rejects.toMatchObject({ code: 'invalid' });
  expect(tries).toBe(1);
});

test('retrying gives up with the last error when its time is over, and does not wait beyond it for Retry-After', async () => {
  const down = new PacificaError('unavailable', 'down');
  const started = performance.now();
  await expect(retrying(async () => Promise.reject(down), { budgetMs: 300 })).rejects.toBe(down);
  const later = new ServiceError('unavailable', 'later', { status: 503, retryAfter: 60_000 });
  await expect(retrying(async () => Promise.reject(later))).rejects.toBe(later);
  expect(performance.now() - started).toBeLessThan(2000);
});

test('retrying waits as long as the service asks', async () => {
  const times: number[] = [];
  await retrying(async () => {
    times.push(performance.now());
    if (times.length === 1) throw new ServiceError('unavailable', 'later', { status: 503, retryAfter: 400 });
    return Promise.resolve();
  });
  expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(390);
});

test('retrying stops when it is told to', async () => {
  const stop = new AbortController();
  const work = async (): Promise<void> => {
    stop.abort();
    return Promise.reject(new PacificaError('unavailable', 'down'));
  };
  await expect(retrying(work, { signal: stop.signal })).rejects.toMatchObject({ code: 'unavailable' });
});

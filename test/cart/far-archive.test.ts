import { createServer, request, type Server } from 'node:http';
import { readdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RemoteArchive } from '../../src/archive/remote-archive.js';
import { type ArchiveService, startArchive } from '../support/archive-service.js';
import { type CartSite, type FileId, startCartSite } from '../support/cart.js';
import { sha1 } from '../support/streams.js';
import { until } from '../support/until.js';

// an archive interface over HTTP that fails in every way: a cart ends right, or in error with the reason

type Fault = 'none' | '500' | 'refuse' | 'slow' | 'wrong' | 'short';

let archive: ArchiveService;
let front: Server;
let site: CartSite;
/** what is done to the next answer, told by its number from 1 */
let fault: (count: number, method: string) => Fault;
let answered: number;
const sockets = new Set<{ destroy(): void }>();

beforeEach(async () => {
  archive = await startArchive();
  answered = 0;
  fault = () => 'none';
  // between the cart service and a real archive
  front = createServer((req, res) => {
    answered += 1;
    const what = fault(answered, req.method ?? '');
    if (what === 'refuse') return void req.socket.destroy();
    if (what === '500') {
      res.writeHead(500, { 'content-type': 'application/json' });
      return void res.end('{"status": "500 Internal Server Error", "message": "no tape", "traceback": "x\\ny"}');
    }
    const forward = request(archive.url + (req.url ?? ''), { method: req.method, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.headers);
      if (what === 'none' || req.method !== 'GET') return void answer.pipe(res);
      let sent = 0;
      answer.on('data', (chunk: Buffer) => {
        if (what === 'wrong') res.write(Buffer.alloc(chunk.length, 'w'));
        else if (what === 'slow') setTimeout(() => res.write(chunk), 50);
        else if (sent === 0) res.write(chunk.subarray(0, 10), () => req.socket.destroy());
        sent += chunk.length;
      });
      answer.on('end', () => setTimeout(() => res.end(), 200));
    });
    forward.on('error', () => req.socket.destroy());
    req.pipe(forward);
  });
  front.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  site = await startCartSite({
    archive: () => new RemoteArchive({ url, spool: join(archive.folder, 'spool'), retryBudgetMs: 500 }),
  });
});
afterEach(async () => {
  await site.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => front.close(resolve));
  await archive.close();
});

async function put(count: number): Promise<FileId[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const content = Buffer.alloc(1000 + n, `file ${n} `);
      const answer = await fetch(`${archive.url}/${n + 1}`, { method: 'PUT', body: content });
      expect(answer.status).toBe(201);
      return { id: String(n + 1), path: `d/${n}`, hashtype: 'sha1', hashsum: sha1(content) };
    }),
  );
}

async function expectRight(uid: string, files: FileId[]): Promise<void> {
  expect(await site.end(uid)).toBe('ready');
  for (const { path, hashsum } of files) {
    expect(sha1(readFileSync(join(site.volume, 'cartuids', uid, path)))).toBe(hashsum);
  }
}

it('500 at every third answer: the cart is ready and right', async () => {
  const files = await put(20);
  fault = (count) => (count % 3 === 0 ? '500' : 'none');
  await site.post('flaky', files);
  await expectRight('flaky', files);
});

it('connections that break at every third answer, and bodies that are cut: ready and right', async () => {
  const files = await put(20);
  fault = (count) => (count % 3 === 0 ? 'refuse' : count % 5 === 0 ? 'short' : 'none');
  await site.post('broken', files);
  await expectRight('broken', files);
});

it('slow: ready and right', async () => {
  const files = await put(6);
  fault = () => 'slow';
  await site.post('slow', files);
  await expectRight('slow', files);
});

it('down for a while: the cart waits, tells staging, and goes on by itself', async () => {
  const files = await put(5);
  fault = () => 'refuse';
  await site.post('down', files);
  await until('a failed run', () => site.queue.errors.length > 0);
  const head = await fetch(`${site.server.url}/down`, { method: 'HEAD' });
  expect(head.headers.get('x-pacifica-status')).toBe('staging');
  fault = () => 'none';
  await expectRight('down', files);
});

it('500 for ever: error with the reason in one line, and no stack', async () => {
  const files = await put(2);
  fault = () => '500';
  await site.post('dead', files);
  expect(await site.end('dead', 50_000)).toBe('error');
  const head = await fetch(`${site.server.url}/dead`, { method: 'HEAD' });
  const message = head.headers.get('x-pacifica-message') ?? '';
  expect(message).toMatch(/^2 of 2 files failed: d\/0: .*no tape; d\/1: .*no tape$/);
  expect(message).not.toContain('traceback');
  await site.service.remove('dead');
  expect(readdirSync(site.volume)).toEqual([]);
});

it('wrong bytes: error that names the hash; nothing of it stays on the volume, what is right does', async () => {
  const files = await put(4);
  fault = (_count, method) => (method === 'GET' ? 'wrong' : 'none');
  await site.post('wrong', files);
  expect(await site.end('wrong')).toBe('error');
  const cart = await site.service.find('wrong');
  expect(cart?.message).toMatch(/^4 of 4 files failed: d\/0: File hash does not match provided hash/);
  expect(cart).toMatchObject({ reserved: 0, occupied: 0, filesReady: 0 });
  expect(readdirSync(join(site.volume, String(cart?.id), 'wrong', 'd'))).toEqual([]);
});

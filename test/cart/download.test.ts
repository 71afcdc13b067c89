import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { type CartSite, type FileId, startCartSite } from '../support/cart.js';
import { pacifica } from '../support/cli.js';
import { cuttingProxy } from '../support/cutting-proxy.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { run } from '../support/run.js';
import { expectSame } from '../support/streams.js';

const MiB = 1024 * 1024;
let home: string;
let site: CartSite;
let path: string;
let whole: Buffer;
let files: FileId[];

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-download-'));
  site = await startCartSite({ folder: home });
  files = [];
  const names = [
    'plain.txt',
    'empty',
    'with blank/Größe 日本.bin',
    `${'long/'.repeat(30)}${'n'.repeat(200)}`,
    `${'d'.repeat(255)}/${'e'.repeat(255)}/${'f'.repeat(255)}`,
    'big.bin',
    ...Array.from({ length: 600 }, (_, n) => `many/${n % 7}/${n}`),
  ];
  for (const [n, name] of names.entries()) {
    const size = name === 'empty' ? 0 : name === 'big.bin' ? 20 * MiB : 1 + ((n * 977) % 5000);
    const content = randomBytes(size);
    mkdirSync(join(home, 'archive'), { recursive: true });
    writeFileSync(join(home, 'archive', String(n + 1)), content, { mode: 0o444 });
    files.push({
      id: String(n + 1),
      path: name,
      hashtype: 'sha256',
      hashsum: createHash('sha256').update(content).digest('hex'),
    });
  }
  await site.post('cart', files);
  expect(await site.end('cart')).toBe('ready');
  path = '/cart?filename=c.tar';
  whole = Buffer.from(await (await fetch(site.server.url + path)).arrayBuffer());
});
afterAll(async () => {
  await site.close();
  rmSync(home, { recursive: true, force: true });
});

describe('a large tar', () => {
  it.each(['tar', 'bsdtar', 'python3'])('is unpacked by %s, and every hash is right', async (program) => {
    if (program === 'bsdtar' && (await run('sh', ['-c', 'command -v bsdtar || true'])) === '') return;
    const out = join(home, `out-${program}`);
    mkdirSync(out);
    writeFileSync(join(out, 'c.tar'), whole);
    if (program === 'python3') await run('python3', ['-m', 'tarfile', '-e', 'c.tar'], out);
    else await run('sh', ['-c', `LC_ALL=C.UTF-8 ${program} -xf c.tar`], out);
    const manifest = await (await fetch(`${site.server.url}/cart/manifest`)).text();
    writeFileSync(join(out, 'c', 'SHA256'), manifest);
    const checked = await run('sha256sum', ['--strict', '-c', 'SHA256'], join(out, 'c'));
    expect(checked.match(/: OK$/gm)).toHaveLength(files.length);
  });

  it('has the same bytes in every range (issue 6: 500 random ones)', async () => {
    for (let count = 0; count < 500; count += 1) {
      const start = Math.floor(Math.random() * whole.length);
      const end = Math.min(whole.length, start + 1 + Math.floor(Math.random() * (count % 10 === 0 ? 4 * MiB : 5000)));
      const answer = await fetch(site.server.url + path, { headers: { range: `bytes=${start}-${end - 1}` } });
      expect(answer.status).toBe(206);
      const part = Buffer.from(await answer.arrayBuffer());
      expect(part.equals(whole.subarray(start, end)), `${start}-${end}`).toBe(true);
    }
  });

  it('is resumed by curl -C - when the connection breaks, twenty times', async () => {
    const proxy = await cuttingProxy(site.server.url, Math.ceil(whole.length / 22));
    const out = join(home, 'resumed.tar');
    for (let tries = 0; ; tries += 1) {
      expect(tries).toBeLessThan(60);
      const done = await run('curl', ['-sS', '-C', '-', '-o', out, proxy.url + path]).then(
        () => true,
        () => false,
      );
      if (done) break;
    }
    expect(proxy.cuts()).toBeGreaterThanOrEqual(20);
    expectSame(readFileSync(out), whole);
    proxy.close();
  });

  it('is resumed by our own command, which is told once', async () => {
    const proxy = await cuttingProxy(site.server.url, Math.ceil(whole.length / 24));
    const whole2 = Buffer.from(await (await fetch(`${site.server.url}/cart?filename=cart.tar`)).arrayBuffer());
    const env = { PACIFICA_CART_URL: proxy.url };
    const { code, stderr } = await pacifica(['cart', 'get', 'cart', '-o', 'ours.tar'], { cwd: home, env });
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(proxy.cuts()).toBeGreaterThanOrEqual(20);
    expectSame(readFileSync(join(home, 'ours.tar')), whole2);
    const before = proxy.cuts();
    const unpacked = await pacifica(['cart', 'get', 'cart', '--extract', 'ours'], { cwd: home, env });
    expect(unpacked.code).toBe(0);
    expect(proxy.cuts()).toBeGreaterThanOrEqual(before + 20);
    const manifest = join(home, 'SHA256');
    writeFileSync(manifest, Buffer.from(await (await fetch(`${site.server.url}/cart/manifest`)).arrayBuffer()));
    const checked = await run('sha256sum', ['--strict', '-c', manifest], join(home, 'ours'));
    expect(checked.match(/: OK$/gm)).toHaveLength(files.length);
    proxy.close();
  });

  it('is the same after a restart, under the same ETag', async () => {
    const before = await fetch(`${site.server.url}/cart`);
    const bytes = Buffer.from(await before.arrayBuffer());
    await site.close();
    site = await startCartSite({ folder: home });
    const after = await fetch(`${site.server.url}/cart`);
    expect(after.headers.get('etag')).toBe(before.headers.get('etag'));
    expect(after.headers.get('content-disposition')).toBe(before.headers.get('content-disposition'));
    expect(Buffer.from(await after.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it('sends to fifty clients at once, some of whom hang up', async () => {
    const sum = createHash('sha1').update(whole).digest('hex');
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const abort = new AbortController();
        const answer = await fetch(site.server.url + path, { signal: abort.signal });
        if (n % 3 === 0) {
          abort.abort();
          return;
        }
        expect(
          createHash('sha1')
            .update(Buffer.from(await answer.arrayBuffer()))
            .digest('hex'),
        ).toBe(sum);
      }),
    );
    const cart = await site.service.find('cart');
    expect(cart?.status).toBe('ready');
  });
});

describe('on PostgreSQL', () => {
  let postgres: TestPostgres | undefined;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => postgres?.stop());

  it('carts are made, sent, posted again, purged and removed', async ({ skip }) => {
    if (postgres === undefined) return skip('PostgreSQL does not start here');
    const there = await startCartSite({ databaseUrl: await postgres.createDatabase(), settings: { copy: 'always' } });
    const list = there.lay(700, 300);
    await there.post('pg', list);
    expect(await there.end('pg')).toBe('ready');
    const cart = await there.service.find('pg');
    expect(cart).toMatchObject({ filesReady: 700, bytesReady: 210_000, bytesTotal: 210_000, reserved: 0 });
    const tar = Buffer.from(await (await fetch(`${there.server.url}/pg?filename=p.tar`)).arrayBuffer());
    const part = await fetch(`${there.server.url}/pg?filename=p.tar`, { headers: { range: 'bytes=100000-100999' } });
    expect(Buffer.from(await part.arrayBuffer()).equals(tar.subarray(100_000, 101_000))).toBe(true);

    await there.archive.delete(parseArchiveId('3'));
    await there.post('pg', list, { bundle: true });
    expect(await there.end('pg')).toBe('error');
    expect((await there.service.find('pg'))?.message).toMatch(/^1 of 700 files failed: f\/2/);

    // many at once, on one volume
    await Promise.all(Array.from({ length: 8 }, (_, n) => there.post(`c${n}`, list.slice(10, 30))));
    for (let n = 0; n < 8; n += 1) {
      await there.end(`c${n}`);
      expect(await there.service.find(`c${n}`)).toMatchObject({ status: 'ready', message: '' });
    }
    const purged: string[] = [];
    for await (const { uid } of there.service.purge(-1000)) purged.push(uid);
    expect(purged.sort()).toEqual(['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'pg']);
    await there.service.sweep();
    await there.queue.idle();
    await there.close();
  });
});

import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { Cart } from '../../src/storage/database/carts.js';
import { type CartSite, startCartSite } from '../support/cart.js';
import { FarArchive } from '../support/far-archive.js';

let site: CartSite;
let far: FarArchive | undefined;

beforeEach(async () => {
  site = await startCartSite({ archive: (real) => (far = new FarArchive(real)) });
});
afterEach(() => site.close());

async function cart(uid: string): Promise<Cart> {
  const found = await site.service.find(uid);
  if (found === undefined) throw new Error('no such cart');
  return found;
}

async function tar(uid: string): Promise<{ etag: string | null; bytes: Buffer }> {
  const answer = await fetch(`${site.server.url}/${uid}?filename=t.tar`);
  return { etag: answer.headers.get('etag'), bytes: Buffer.from(await answer.arrayBuffer()) };
}

const opened = (): string[] => far?.opened.splice(0).sort() ?? [];

it('brings only what is missing or wrong, and the tar is the same again', async () => {
  await site.post('mended', site.lay(10, 1000, 100));
  expect(await site.end('mended')).toBe('ready');
  const before = await tar('mended');
  opened();
  expect(await site.service.mend(await cart('mended'))).toBe(0);
  expect((await cart('mended')).status).toBe('ready');

  const data = join(site.volume, 'cartuids/mended/f');
  rmSync(join(data, '3'));
  chmodSync(join(data, '7'), 0o644);
  writeFileSync(join(data, '7'), Buffer.alloc(1000, 'x'));
  expect(await site.service.mend(await cart('mended'))).toBe(2);
  expect(await site.end('mended')).toBe('ready');
  expect(opened()).toEqual(['103', '107']);
  const after = await tar('mended');
  expect(after.bytes.equals(before.bytes)).toBe(true);
  expect(after.etag).toBe(before.etag);
});

it('tries failed files again', async () => {
  const files = site.lay(4, 100, 100);
  const content = readFileSync(join(site.folder, 'archive/102'));
  await site.archive.delete(parseArchiveId('102'));
  await site.post('failed', files);
  expect(await site.end('failed')).toBe('error');
  opened();
  writeFileSync(join(site.folder, 'archive/102'), content);
  expect(await site.service.mend(await cart('failed'))).toBe(1);
  expect(await site.end('failed')).toBe('ready');
  expect(opened()).toEqual(['102']);
  expect(await cart('failed')).toMatchObject({ message: '', filesReady: 4, bytesReady: 400 });
});

it('makes a damaged bundle again, to the byte', async () => {
  await site.post('bundle', site.lay(5, 3000, 100), { bundle: true });
  expect(await site.end('bundle')).toBe('ready');
  const before = await tar('bundle');
  opened();
  expect(await site.service.mend(await cart('bundle'))).toBe(0);
  const path = join(site.volume, 'cartuids/bundle');
  const bytes = Buffer.from(before.bytes);
  bytes[3000] = (bytes[3000] ?? 0) ^ 1;
  for (const damaged of [bytes, bytes.subarray(0, 5000)]) {
    writeFileSync(path, damaged);
    expect(await site.service.mend(await cart('bundle'))).toBe(5);
    expect(await site.end('bundle')).toBe('ready');
    expect(opened()).toHaveLength(5);
    expect((await tar('bundle')).bytes.equals(before.bytes)).toBe(true);
  }
});

it('takes a damaged bundle away at once: a run that ends before the new one is written must not find it', async () => {
  await site.post('bundle', site.lay(2, 3000, 100), { bundle: true });
  expect(await site.end('bundle')).toBe('ready');
  const path = join(site.volume, String((await cart('bundle')).id), 'bundle.tar');
  writeFileSync(path, 'damaged');
  site.queue.paused = true;
  expect(await site.service.mend(await cart('bundle'))).toBe(2);
  expect(existsSync(path)).toBe(false);
});

it.each([false, true])(
  'a look that is ended stops within a file, and leaves the cart as it is; bundle: %s',
  async (bundle) => {
    const size = 5 * 1024 * 1024;
    await site.post('long', site.lay(2, size, 100), { bundle });
    expect(await site.end('long')).toBe('ready');
    const ending = new AbortController();
    let read = 0;
    let files = 0;
    const look = {
      onBytes: (bytes: number): void => {
        read += bytes;
        if (read >= size + 1024 * 1024) ending.abort(new PacificaError('aborted', 'enough'));
      },
      onFile: (): void => {
        files += 1;
      },
      signal: ending.signal,
    };
    await expect(site.service.mend(await cart('long'), look)).rejects.toThrow('enough');
    expect(read).toBeLessThan(2 * size);
    expect(files).toBe(1);
    expect((await cart('long')).status).toBe('ready');
  },
);

it('what a look found before it was ended is brought again', async () => {
  await site.post('half', site.lay(3, 1000, 100));
  expect(await site.end('half')).toBe('ready');
  rmSync(join(site.volume, 'cartuids/half/f/0'));
  rmSync(join(site.volume, 'cartuids/half/f/2'));
  const ending = new AbortController();
  const look = { onBytes: () => ending.abort(new PacificaError('aborted', 'enough')), signal: ending.signal };
  opened();
  await expect(site.service.mend(await cart('half'), look)).rejects.toThrow('enough');
  expect(await site.end('half')).toBe('ready');
  expect(opened()).toContain('100');
});

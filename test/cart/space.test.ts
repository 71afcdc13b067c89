import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QueryTypes } from 'sequelize';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CartFolders } from '../../src/cart/folders.js';
import { isDead, processMark } from '../../src/lib/process-mark.js';
import type { Cart } from '../../src/storage/database/carts.js';
import { type CartSite, type SiteOptions, startCartSite } from '../support/cart.js';
import { runChild } from '../support/children/run.js';
import { FarArchive } from '../support/far-archive.js';
import { until } from '../support/until.js';

const MiB = 1024 * 1024;

/** Whether this machine lets us mount a small file system of our own. */
const canMount = ((): boolean => {
  const probe = join(tmpdir(), `pacifica-probe-${process.pid}`);
  mkdirSync(probe);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return true;
  } catch {
    return false;
  } finally {
    execFileSync('rmdir', [probe]);
  }
})();

let site: CartSite;
let volume: string | undefined;

/** A site whose volume has 16 MiB. */
async function startSmall(settings: SiteOptions['settings'] = {}, archive?: SiteOptions['archive']): Promise<void> {
  volume = await mkdtemp(join(tmpdir(), 'pacifica-volume-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', volume]);
  site = await startCartSite({ volume, settings, archive });
}

/** A site with a cart of one file that is ready. */
async function readyCart(uid: string): Promise<Cart> {
  site = await startCartSite();
  await site.post(uid, site.lay(1, 100));
  expect(await site.end(uid)).toBe('ready');
  const cart = await site.service.find(uid);
  if (cart === undefined) throw new Error('no cart');
  return cart;
}

afterEach(async () => {
  await site.close();
  if (volume === undefined) return;
  execFileSync('umount', [volume]);
  await rm(volume, { recursive: true });
  volume = undefined;
});

const free = async (): Promise<number> => {
  const { bavail, bsize } = await statfs(site.volume);
  return bavail * bsize;
};
const status = async (uid: string): Promise<string | undefined> => (await site.service.find(uid))?.status;

describe.skipIf(!canMount)('a volume of 16 MiB (needs the right to mount)', () => {
  it('carts that are staged at once never overfill it (fault 19)', async () => {
    let far: FarArchive | undefined;
    await startSmall({ lruPurge: false }, (real) => (far = new FarArchive(real)));
    const files = site.lay(24, MiB);
    const carts = Array.from({ length: 4 }, (_, n) => files.slice(n * 6, n * 6 + 6));
    // nobody writes before all have asked for room
    const asked = until('all have room, or none', async () => {
      const found = await Promise.all(carts.map((_, n) => site.service.find(`c${n}`)));
      return found.every((cart) => cart !== undefined && (cart.reserved > 0 || cart.status === 'error'));
    });
    if (far === undefined) throw new Error('no archive');
    far.beforeOpen = async () => {
      await asked;
    };
    const statuses = await Promise.all(carts.map((list, n) => site.post(`c${n}`, list)));
    expect(statuses).toEqual([201, 201, 201, 201]);
    await Promise.all(carts.map((_, n) => site.end(`c${n}`)));
    const ends = await Promise.all(carts.map((_, n) => site.service.find(`c${n}`)));
    // two have room; those that have none know before they write
    expect(ends.map((cart) => [cart?.status, cart?.message]).sort()).toEqual([
      ['error', 'No Space Available'],
      ['error', 'No Space Available'],
      ['ready', ''],
      ['ready', ''],
    ]);
    for (const cart of ends) expect(cart?.reserved).toBe(0);
    expect(far.opened).toHaveLength(12);
    expect(await free()).toBeGreaterThan(3 * MiB);
  });

  it('a cart that can never fit deletes nobody', async () => {
    await startSmall();
    const files = site.lay(20, MiB);
    await site.post('small', files.slice(0, 5));
    expect(await site.end('small')).toBe('ready');
    await site.post('huge', files);
    expect(await site.end('huge')).toBe('error');
    expect((await site.service.find('huge'))?.message).toBe('No Space Available');
    expect(await status('small')).toBe('ready');
    expect(await free()).toBeGreaterThan(10 * MiB);
  });

  it('the least recently used cart makes room: by last download, not by creation (fault 19)', async () => {
    await startSmall();
    const files = site.lay(18, MiB);
    for (const n of [0, 1]) {
      await site.post(`c${n}`, files.slice(n * 6, n * 6 + 6));
      expect(await site.end(`c${n}`)).toBe('ready');
      await sleep(5);
    }
    await (await fetch(`${site.server.url}/c0`)).arrayBuffer();
    await until('the download has ended', async () => !(await site.tables.isLeased(1)));
    await site.post('c2', files.slice(12));
    expect(await site.end('c2')).toBe('ready');
    expect([await status('c0'), await status('c1'), await status('c2')]).toEqual(['ready', undefined, 'ready']);
    expect(existsSync(join(site.volume, '2'))).toBe(false);
  });

  it('a cart that is being downloaded is never taken, however long ago it was made (fault 19)', async () => {
    await startSmall();
    const files = site.lay(12, MiB);
    await site.post('busy', files.slice(0, 6));
    expect(await site.end('busy')).toBe('ready');
    const cart = await site.service.find('busy');
    if (cart === undefined) throw new Error('no cart');
    // as a process beside this one holds it
    const { service } = site.another();
    const download = await service.download(cart, undefined);
    await site.post(
      'other',
      [...files, ...site.lay(1, MiB, 500)].slice(6).map((file, n) => ({ ...file, path: `p${n}` })),
    );
    await site.post('large', site.lay(11, MiB, 100));
    expect(await site.end('large')).toBe('error');
    expect(await status('busy')).toBe('ready');
    await download?.close();
    await service.close();
    await site.post('large', site.lay(11, MiB, 100));
    expect(await site.end('large')).toBe('ready');
    expect(await status('busy')).toBeUndefined();
  });

  it.each([
    ['lru_buffer_time protects a cart', { lruBufferTimeMs: 3_600_000 }],
    ['lru_purge = off never deletes', { lruPurge: false }],
  ])('%s', async (_, settings) => {
    await startSmall(settings);
    const files = site.lay(20, MiB);
    await site.post('first', files.slice(0, 10));
    expect(await site.end('first')).toBe('ready');
    await site.post('second', files.slice(10));
    expect(await site.end('second')).toBe('error');
    expect((await site.service.find('second'))?.message).toBe('No Space Available');
    expect(await status('first')).toBe('ready');
  });

  it('lru_buffer_time protects a cart no longer than that', async () => {
    await startSmall({ lruBufferTimeMs: 3_600_000 });
    const files = site.lay(20, MiB);
    await site.post('first', files.slice(0, 10));
    expect(await site.end('first')).toBe('ready');
    await site.database.sequelize.query(`UPDATE pacifica_cart SET used = ${Date.now() - 3_601_000}`);
    await site.post('second', files.slice(10));
    expect(await site.end('second')).toBe('ready');
    expect(await status('first')).toBeUndefined();
  });

  it('what is written already is not kept free once more', async () => {
    let far: FarArchive | undefined;
    await startSmall({ concurrency: 1 }, (real) => (far = new FarArchive(real)));
    if (far === undefined) throw new Error('no archive');
    let goOn: () => void = () => undefined;
    const last = new Promise<void>((resolve) => (goOn = resolve));
    const { opened } = far;
    far.beforeOpen = () => (opened.length === 6 ? last : undefined);
    await site.post('six', site.lay(6, MiB));
    // the last file's, and something for its name
    await until('five are written', async () => {
      const cart = await site.service.find('six');
      return cart?.filesReady === 5 && cart.reserved < 1.1 * MiB;
    }).finally(goOn);
    expect(await site.end('six')).toBe('ready');
  });

  it('the room of a cart that was deleted while it was downloaded is used before another one goes', async () => {
    await startSmall();
    const files = site.lay(18, MiB);
    for (const n of [0, 1]) {
      await site.post(`c${n}`, files.slice(n * 6, n * 6 + 6));
      expect(await site.end(`c${n}`)).toBe('ready');
    }
    const cart = await site.service.find('c1');
    if (cart === undefined) throw new Error('no cart');
    const download = await site.another().service.download(cart, undefined);
    await site.service.remove('c1');
    await download?.close();
    await site.post('c2', files.slice(12));
    expect(await site.end('c2')).toBe('ready');
    expect(await status('c0')).toBe('ready');
  });

  it('a volume that others fill meanwhile: the cart ends in error and gives its space back', async () => {
    let far: FarArchive | undefined;
    await startSmall({ concurrency: 1 }, (real) => (far = new FarArchive(real)));
    const files = site.lay(8, MiB);
    if (far === undefined) throw new Error('no archive');
    const { opened } = far;
    far.beforeOpen = async () => {
      if (opened.length === 3) await writeFile(join(site.volume, 'other'), Buffer.alloc(13 * MiB));
    };
    await site.post('unlucky', files);
    expect(await site.end('unlucky')).toBe('error');
    expect((await site.service.find('unlucky'))?.message).toBe('No Space Available');
    await site.queue.idle();
    expect(readdirSync(site.volume)).toEqual(['other']);
  });

  it('a bundle needs room as well', async () => {
    await startSmall({ lruPurge: false });
    const files = site.lay(9, MiB);
    await site.post('bundled', files, { bundle: true });
    expect(await site.end('bundled')).toBe('error');
    expect((await site.service.find('bundled'))?.message).toBe('No Space Available');
    await site.post('bundled', files.slice(0, 6), { bundle: true });
    expect(await site.end('bundled')).toBe('ready');
    expect((await site.service.find('bundled'))?.occupied).toBeLessThan(7 * MiB);
  });
});

it('only finished carts that take space can make room', async () => {
  site = await startCartSite();
  for (const uid of ['ready', 'linked', 'unfinished']) {
    site.queue.paused = uid === 'unfinished';
    await site.post(uid, site.lay(1, 100));
    if (uid !== 'unfinished') expect(await site.end(uid)).toBe('ready');
  }
  await site.database.sequelize.query("UPDATE pacifica_cart SET occupied = 100 WHERE uid <> 'linked'");
  expect((await site.tables.leastRecentlyUsed(Date.now() + 1000)).map(({ uid }) => uid)).toEqual(['ready']);
});

it('a cart that is cancelled keeps no room free', async () => {
  site = await startCartSite();
  site.queue.paused = true;
  await site.post('cancelled', site.lay(1, 100));
  await site.tables.claim(1, 'run');
  expect(await site.tables.reserve(1, 'run', 1000, () => Promise.resolve(2000))).toBe(0);
  await site.service.rows.cancel('1', 'no more');
  expect(await site.service.find('cancelled')).toMatchObject({ status: 'error', reserved: 0 });
});

describe('purge', () => {
  it('deletes what was last used long ago, and nothing that is being downloaded', async () => {
    site = await startCartSite();
    const files = site.lay(1, 100);
    for (const uid of ['old', 'late', 'downloaded', 'busy', 'new']) {
      await site.post(uid, files);
      expect(await site.end(uid)).toBe('ready');
    }
    await site.post('failed', [{ ...files[0], hashsum: '' }]);
    expect(await site.end('failed')).toBe('error');
    site.queue.paused = true;
    await site.post('unfinished', files);
    const age = async (uid: string, change: string): Promise<unknown> =>
      site.database.sequelize.query(`UPDATE pacifica_cart SET ${change} WHERE uid = '${uid}'`);
    const day = 86_400_000;
    const long = Date.now() - 200 * day;
    for (const uid of ['old', 'downloaded', 'busy', 'unfinished']) {
      await age(uid, `created = ${long}, updated = ${long}, used = ${long}`);
      if (uid !== 'unfinished') await age(uid, `ready = ${long}`);
    }
    // it took its time, and became ready a moment ago
    await age('late', `created = ${long}`);
    await age('failed', `created = ${long}, updated = ${long}, used = ${long}`);
    await age('downloaded', `downloaded = ${Date.now() - day}`);
    const cart = await site.service.find('busy');
    if (cart === undefined) throw new Error('no cart');
    const download = await site.another().service.download(cart, undefined);
    await age('busy', `downloaded = ${long}, used = ${long}`);

    const uids = async (dryRun: boolean): Promise<string[]> => {
      const found = [];
      for await (const { uid } of site.another().service.purge(180 * day, dryRun)) found.push(uid);
      return found;
    };
    expect(await uids(true)).toEqual(['old', 'failed']);
    expect(await status('old')).toBe('ready');
    expect(await uids(false)).toEqual(['old', 'failed']);
    for (const uid of ['old', 'failed']) expect(await status(uid)).toBeUndefined();
    for (const uid of ['late', 'downloaded', 'busy', 'new']) expect(await status(uid)).toBe('ready');
    expect(await status('unfinished')).toBe('waiting');
    expect(existsSync(join(site.volume, 'cartuids', 'old'))).toBe(false);
    await download?.close();
    await age('busy', `downloaded = ${long}, used = ${long}`);
    expect(await uids(false)).toEqual(['busy']);
  });
});

describe('a download under way', () => {
  it('that began a moment ago is seen by whoever wants to delete the cart', async () => {
    site = await startCartSite();
    await site.post('raced', site.lay(1, 100));
    expect(await site.end('raced')).toBe('ready');
    const before = await site.service.find('raced');
    if (before === undefined) throw new Error('no cart');
    // by the list that the other one has read, it is idle
    expect(await site.tables.lease(before.id, 'downloader', Date.now() + 60_000)).toBe(true);
    expect(await site.tables.deleteIdle(before)).toBe(false);
    const now = await site.service.find('raced');
    if (now === undefined) throw new Error('it was deleted');
    expect(await site.tables.deleteIdle(now)).toBe(false);
    await site.tables.renew('downloader', Date.now() - 1);
    expect(await site.tables.deleteIdle(now)).toBe(true);
    expect(await site.tables.lease(before.id, 'too late', Date.now() + 60_000)).toBe(false);
  });

  it('counts as use when it ends, not only when it begins', async () => {
    const cart = await readyCart('slow');
    const download = await site.service.download(cart, undefined);
    await site.database.sequelize.query('UPDATE pacifica_cart SET used = 1, downloaded = 1');
    await download?.close();
    const now = await site.service.find('slow');
    expect(Math.min(now?.used ?? 0, now?.downloaded ?? 0)).toBeGreaterThan(1);
  });

  it('holds the cart until the last of several has ended', async () => {
    const cart = await readyCart('shared');
    const [one, other] = [await site.service.download(cart, undefined), await site.service.download(cart, undefined)];
    await one?.close();
    expect(await site.tables.isLeased(cart.id)).toBe(true);
    await other?.close();
    expect(await site.tables.isLeased(cart.id)).toBe(false);
  });

  it('holds the cart for as long as it goes on', async () => {
    const cart = await readyCart('long');
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const download = await site.service.download(cart, undefined);
    // as if the minute was nearly over
    await site.database.sequelize.query(`UPDATE pacifica_cart_lease SET until = ${Date.now() + 1000}`);
    vi.advanceTimersByTime(20_000);
    vi.useRealTimers();
    await until('it to be renewed', async () => {
      const [lease] = await site.database.sequelize.query<{ until: number }>('SELECT until FROM pacifica_cart_lease', {
        type: QueryTypes.SELECT,
      });
      return (lease?.until ?? 0) > Date.now() + 30_000;
    });
    await download?.close();
  });

  it('goes on when the cart is deleted; then its space is freed', async () => {
    site = await startCartSite();
    const files = site.lay(30, MiB);
    await site.post('sent', files);
    expect(await site.end('sent')).toBe('ready');
    const answer = await fetch(`${site.server.url}/sent?filename=s.tar`);
    const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = answer.body?.getReader();
    const first = await reader?.read();
    expect(first?.value?.length).toBeGreaterThan(0);

    const { service: other, queue } = site.another();
    await other.remove('sent');
    expect((await fetch(`${site.server.url}/sent`)).status).toBe(404);
    await other.sweep();
    await queue.idle();
    let length = first?.value?.length ?? 0;
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read())
      length += part.value.length;
    expect(length).toBe(Number(answer.headers.get('content-length')));
    await until('its lease has ended', async () => !(await site.tables.isLeased(1)));
    await other.sweep();
    await queue.idle();
    expect(readdirSync(site.volume)).toEqual(['cartuids']);
  });

  it('of a cart that was posted again leaves the link of the newer one when it ends', async () => {
    const old = await readyCart('again');
    const download = await site.another().service.download(old, undefined);
    await site.post('again', site.lay(1, 100));
    expect(await site.end('again')).toBe('ready');
    const link = readlinkSync(join(site.volume, 'cartuids/again'));
    await download?.close();
    await site.service.sweep();
    await site.queue.idle();
    expect(existsSync(join(site.volume, String(old.id)))).toBe(false);
    expect(readlinkSync(join(site.volume, 'cartuids/again'))).toBe(link);
  });

  it('of a process of this machine that died is over at once', async () => {
    const cart = await readyCart('left');
    const dead = (await runChild('process-mark')).trim();
    const until = Date.now() + 60_000;
    expect(await site.tables.lease(cart.id, `${dead}/1`, until)).toBe(true);
    // one that runs, and one of another machine
    expect(await site.tables.lease(cart.id, `${processMark()}/1`, until)).toBe(true);
    expect(await site.tables.isLeased(cart.id)).toBe(true);
    await site.tables.release(cart.id, `${processMark()}/1`);
    expect(await site.tables.lease(cart.id, '0123456789ab.1.1/1', until)).toBe(true);
    expect(await site.tables.isLeased(cart.id)).toBe(true);
    await site.tables.release(cart.id, '0123456789ab.1.1/1');
    await site.service.remove('left');
    expect(existsSync(join(site.volume, String(cart.id)))).toBe(false);
  });

  it('of this process holds the cart while it downloads', async () => {
    const cart = await readyCart('held');
    const download = await site.service.download(cart, undefined);
    expect(await site.another().service.purge(-1000).next()).toMatchObject({ done: true });
    // another process can tell whether this one runs
    const [lease] = await site.database.sequelize.query<{ owner: string }>('SELECT owner FROM pacifica_cart_lease', {
      type: QueryTypes.SELECT,
    });
    expect(isDead(lease?.owner.split('/')[0] ?? '')).toBe(false);
    await download?.close();
    expect(await site.another().service.purge(-1000).next()).toMatchObject({ value: { uid: 'held' } });
  });

  it('of another machine that died is over after a minute', async () => {
    const cart = await readyCart('left');
    expect(await site.tables.lease(cart.id, 'dead process', Date.now() + 60_000)).toBe(true);
    await site.service.remove('left');
    expect(existsSync(join(site.volume, String(cart.id)))).toBe(true);
    await site.tables.renew('dead process', Date.now() - 1);
    await site.service.sweep();
    await site.queue.idle();
    expect(existsSync(join(site.volume, String(cart.id)))).toBe(false);
  });
});

describe('the sweep', () => {
  it('has its job tried again when a deleted cart can not be removed; others go meanwhile', async () => {
    await readyCart('stuck');
    await site.post('gone', site.lay(1, 100));
    expect(await site.end('gone')).toBe('ready');
    for (const uid of ['stuck', 'gone']) await site.tables.delete(uid);
    // in the place of its tar is what no removal of a file removes
    const inTheWay = new CartFolders(site.volume).bundle({ id: 1, uid: 'stuck' });
    await mkdir(inTheWay, { recursive: true });
    await site.service.sweep();
    await until('the failures', () => site.queue.errors.length >= 2);
    expect(site.queue.errors[0]).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('cart 1') as string,
    });
    expect(await site.tables.get(2)).toBeUndefined();
    await rmdir(inTheWay);
    await site.queue.idle();
    expect(await site.tables.get(1)).toBeUndefined();
    expect(readdirSync(site.volume)).toEqual(['cartuids']);
  });

  it('removes folders that belong to no cart, and nothing that is not ours', async () => {
    site = await startCartSite();
    const files = site.lay(1, 100);
    await site.post('kept', files);
    expect(await site.end('kept')).toBe('ready');
    // a cart whose rows are gone, one of an original service, and one beside it
    for (const [id, uid] of [
      ['77', 'orphan'],
      ['78', 'original'],
      ['1', 'neighbour'],
    ] as const) {
      await mkdir(join(site.volume, id, uid), { recursive: true });
      await writeFile(join(site.volume, id, uid, 'file'), 'x');
    }
    await writeFile(join(site.volume, '77', '@cart'), 'orphan');
    await site.service.sweep();
    await site.queue.idle();
    expect(readdirSync(site.volume).sort()).toEqual(['1', '78', 'cartuids']);
    expect(readdirSync(join(site.volume, '1')).sort()).toEqual(['@cart', 'kept', 'neighbour']);
    await site.service.remove('kept');
    expect(readdirSync(join(site.volume, '1'))).toEqual(['neighbour']);
  });

  it('removes the folder of another cart that had the number before the database was made anew', async () => {
    site = await startCartSite();
    await site.tables.post('new').add(
      Array.from({ length: 5001 }, (_, n) => ({
        ...{ archiveId: '1', path: `f${n}`, newFolders: 0 },
        ...{ hashtype: 'sha1', hashsum: '0'.repeat(40) },
      })),
    );
    expect(await site.tables.get(1)).toMatchObject({ uid: 'new' });
    await mkdir(join(site.volume, '1/old'), { recursive: true });
    await writeFile(join(site.volume, '1/@cart'), 'old');
    await site.service.sweep();
    await site.queue.idle();
    expect(readdirSync(site.volume)).toEqual([]);
  });
});

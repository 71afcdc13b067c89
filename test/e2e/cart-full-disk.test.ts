import { execFileSync } from 'node:child_process';
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cartEnd, type CartRequest, postCart } from '../support/main-job.js';
import { type Daemon, startDaemon } from '../support/serve.js';
import { sha1 } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { filesBelow } from '../support/tree.js';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;
if (!canMount) console.warn('not root on Linux: a full volume can not be tried here, its tests are skipped');

const MB = 1_000_000;
let folder: string;
let volume: string;
let daemon: Daemon | undefined;

beforeEach(async () => {
  folder = await temporaryFolder();
  volume = join(folder, 'volume');
  mkdirSync(volume);
  mkdirSync(join(folder, 'data/archive'), { recursive: true });
  if (canMount) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', volume]);
});

afterEach(async () => {
  await daemon?.stop('SIGKILL');
  if (canMount) execFileSync('umount', [volume]);
  await removeFolder(folder);
});

async function start(env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
  daemon = await startDaemon(['cart', 'serve', '--data-dir', join(folder, 'data'), '--port', '0'], {
    PACIFICA_CARTD_VOLUME_PATH: volume,
    ...env,
  });
  return daemon;
}

/** A cart of files that are only its own. */
function lay(first: number, sizes: number[]): CartRequest {
  return {
    fileids: sizes.map((size, n) => {
      const content = Buffer.alloc(size, `${first + n} `);
      writeFileSync(join(folder, 'data/archive', String(first + n)), content, { mode: 0o444 });
      return { id: String(first + n), path: `d/${n}`, hashtype: 'sha1', hashsum: sha1(content) };
    }),
  };
}

function free(): number {
  const { bavail, bsize } = statfsSync(volume);
  return bavail * bsize;
}

async function messageOf({ urls }: Daemon, uid: string): Promise<string | null> {
  return (await fetch(`${urls.cart}/${uid}`, { method: 'HEAD' })).headers.get('x-pacifica-message');
}

test.runIf(canMount)(
  'ten carts at once on a volume for six: whole or No Space Available, and the space comes back',
  async () => {
    const running = await start({ PACIFICA_CARTD_LRU_PURGE: 'off' });
    const before = free();
    const uids = Array.from({ length: 10 }, (_, n) => `c${n}`);
    const carts = uids.map((_, n) => lay(100 * (n + 1), [5 * MB, 5 * MB]));
    await Promise.all(carts.map((cart, n) => postCart(running, `c${n}`, cart)));
    const ends = await Promise.all(uids.map((uid) => cartEnd(running, uid)));
    expect(ends.filter((end) => end === 'ready')).toHaveLength(6);
    for (const [n, end] of ends.entries()) {
      const answer = await fetch(`${running.urls.cart}/c${n}?filename=x.tar`);
      const body = Buffer.from(await answer.arrayBuffer());
      if (end === 'ready') {
        expect(body.length).toBeGreaterThan(10 * MB);
        expect(Number(answer.headers.get('content-length'))).toBe(body.length);
      } else {
        expect(answer.status).toBe(500);
        expect(await messageOf(running, `c${n}`)).toBe('No Space Available');
        expect((JSON.parse(body.toString()) as { message: string }).message).toBe('No Space Available');
      }
    }
    // those that failed hold nothing
    expect(before - free()).toBeLessThan(61 * MB);
    for (const uid of uids) {
      expect((await fetch(`${running.urls.cart}/${uid}`, { method: 'DELETE' })).status).toBe(200);
    }
    expect(await filesBelow(volume)).toEqual([]);
    expect(before - free()).toBeLessThan(MB);
  },
);

test.runIf(canMount)(
  'with lru_purge the oldest cart makes room; a cart that fits nowhere takes nothing from others',
  async () => {
    const running = await start();
    for (const [n, uid] of ['first', 'second', 'third'].entries()) {
      await postCart(running, uid, lay(100 * (n + 1), [20 * MB]));
      expect(await cartEnd(running, uid)).toBe('ready');
    }
    await postCart(running, 'huge', lay(1000, [70 * MB]));
    expect(await cartEnd(running, 'huge')).toBe('error');
    expect(await messageOf(running, 'huge')).toBe('No Space Available');
    await postCart(running, 'fourth', lay(2000, [20 * MB]));
    expect(await cartEnd(running, 'fourth')).toBe('ready');
    const statuses = await Promise.all(
      ['first', 'second', 'third'].map(
        async (uid) => (await fetch(`${running.urls.cart}/${uid}`, { method: 'HEAD' })).status,
      ),
    );
    expect(statuses).toEqual([404, 204, 204]);
  },
);

test.runIf(canMount)('lru_buffer_time, in seconds, keeps a cart from making room', async () => {
  const running = await start({ PACIFICA_CARTD_LRU_BUFFER_TIME: '60' });
  await postCart(running, 'young', lay(100, [40 * MB]));
  expect(await cartEnd(running, 'young')).toBe('ready');
  await postCart(running, 'other', lay(200, [40 * MB]));
  expect(await cartEnd(running, 'other')).toBe('error');
  expect(await messageOf(running, 'other')).toBe('No Space Available');
  expect((await fetch(`${running.urls.cart}/young`, { method: 'HEAD' })).status).toBe(204);
});

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { cartEnd, type CartRequest } from '../support/main-job.js';
import { type Daemon, startDaemon } from '../support/serve.js';
import { sha1 } from '../support/streams.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

const rounds = process.env.PACIFICA_LONG === 'short' ? 8 : 50;
const FILES = 120;

const home = mkdtempSync(join(tmpdir(), 'pacifica-cart-kill-'));
const data = join(home, 'data');
afterAll(() => rmSync(home, { recursive: true, force: true }));

function start(round: number): Promise<Daemon> {
  return startDaemon(['cart', 'serve', '--data-dir', data, '--port', '0'], {
    PACIFICA_JOBS_LOCK_LIFETIME: '2',
    // copies take longer than links, so there is more to break off
    PACIFICA_CARTD_COPY: round % 3 === 2 ? 'auto' : 'always',
    PACIFICA_LOG_LEVEL: 'error',
  });
}

function lay(): CartRequest {
  mkdirSync(join(data, 'archive'), { recursive: true });
  return {
    fileids: Array.from({ length: FILES }, (_, n) => {
      const content = Buffer.alloc(n === 7 ? 20_000_000 : 1000 * n, `${n} `);
      writeFileSync(join(data, 'archive', String(n + 1)), content, { mode: 0o444 });
      return { id: String(n + 1), path: `d${n % 5}/${n}`, hashtype: 'sha1', hashsum: sha1(content) };
    }),
  };
}

it(`kill -9 at ${rounds} random moments between POST and the last byte: ready by itself, and the tar is right`, async () => {
  const request = lay();
  const wanted = new Set(request.fileids.map(({ hashsum }) => hashsum));
  const promised = new Map<string, string>();
  for (let round = 0; round < rounds; round += 1) {
    const daemon = await start(round);
    const uid = `round-${round}`;
    const out = join(home, `${uid}.tar`);
    const url = `${daemon.urls.cart}/${uid}`;
    const work = async (): Promise<void> => {
      const body = JSON.stringify({ ...request, bundle: round % 2 === 1 });
      const answer = await fetch(url, { method: 'POST', body });
      if (answer.status !== 201) throw new Error(await answer.text());
      promised.set(uid, out);
      if ((await cartEnd(daemon, uid)) !== 'ready') throw new Error('not ready');
      // so slow that it is cut in the middle
      const curl = spawn('curl', ['-sS', '--limit-rate', '40M', '-o', out, `${url}?filename=${uid}.tar`], {
        stdio: 'ignore',
      });
      await once(curl, 'exit');
    };
    const working = work().catch(() => undefined);
    await sleep(Math.random() * (round % 4 === 3 ? 2500 : 800));
    await daemon.stop('SIGKILL');
    await Promise.race([working, sleep(100)]);
  }
  expect(promised.size).toBeGreaterThan(rounds / 3);

  const daemon = await start(0);
  for (const [uid, out] of promised) {
    expect(await cartEnd(daemon, uid)).toBe('ready');
    const tar = `${daemon.urls.cart}/${uid}?filename=${uid}.tar`;
    const whole = join(home, 'whole.tar');
    execFileSync('curl', ['-sSf', '-o', whole, tar]);
    // what was cut goes on where it ended; beyond the end of what was not there is nothing (416)
    const isWhole = existsSync(out) && statSync(out).size === statSync(whole).size;
    if (!isWhole) execFileSync('curl', ['-sSf', '-C', '-', '-o', out, tar]);
    execFileSync('cmp', [out, whole]);
    const sums = execFileSync('tar', ['xf', out, '--to-command=sha1sum'], { encoding: 'utf8', maxBuffer: 1e8 });
    expect(new Set(sums.match(/^[0-9a-f]{40}/gm))).toEqual(wanted);
    rmSync(out);
  }
  // what was posted and never promised may be there as well; then nothing is left of any of them
  for (let round = 0; round < rounds; round += 1)
    await fetch(`${daemon.urls.cart}/round-${round}`, { method: 'DELETE' });
  // also those that a killed process was sending
  await until('all is gone', async () => (await filesBelow(join(data, 'cart'))).length === 0, 20_000);
  await until('all folders are gone', () => readdirSync(join(data, 'cart')).length === 1);
  expect(readdirSync(join(data, 'cart'))).toEqual(['cartuids']);
  await daemon.stop();
});

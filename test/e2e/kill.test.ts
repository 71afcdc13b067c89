import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeBundle, type MadeBundle, sha1File } from '../support/bundle.js';
import { cartEnd, cartOf, ingest, jobEnd, jobState, postBundle, postCart } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { until } from '../support/until.js';

// kill -9 in the middle of the work: after a new start everything reaches its end without anyone's help

let home: string;
let daemon: Daemon | undefined;
/** a short lock, so that what a killed process held is free soon */
const env = { PACIFICA_JOBS_LOCK_LIFETIME: '2' };

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-kill-'));
});
afterEach(async () => {
  await daemon?.stop('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

async function start(): Promise<Daemon> {
  daemon = await startServe(join(home, 'data'), env);
  return daemon;
}

function bundle(count: number, size: number): MadeBundle {
  return makeBundle(
    home,
    Array.from({ length: count }, (_, index) => ({
      path: `dir ${index % 7}/file-${index}`,
      content: Buffer.alloc(size, `content ${index} `),
    })),
  );
}

it('an ingest that was posted ends by itself after kill -9', async () => {
  const { file, sums } = bundle(400, 20_000);
  const first = await start();
  const { job_id: id } = postBundle(first, file);
  // whatever it is at: the answer is out, so the bundle is promised
  await first.stop('SIGKILL');
  const second = await start();
  expect(await jobEnd(second, id)).toMatchObject({ state: 'OK', complete: true });
  for (const sum of [...sums.values()].slice(0, 50)) {
    const got = execFileSync('sh', ['-c', `curl -sSf ${second.urls.proxy}/files/sha1/${sum} | sha1sum`], {
      encoding: 'utf8',
    });
    expect(got.slice(0, 40)).toBe(sum);
  }
  const { fileids } = await cartOf(second, id);
  expect(new Set(fileids.map((entry) => entry.id)).size).toBe(sums.size);
});

it('an upload that kill -9 cut ends FAILED, with nothing visible and nothing left', async () => {
  const first = await start();
  const { file, sums } = bundle(20, 100_000);
  // curl sends at a rate that leaves time to kill; the server takes the job's row before the body
  const curl = execFileSync.bind(undefined, 'sh', [
    '-c',
    `curl -s --limit-rate 300k --data-binary @'${file}' ${first.urls.ingest}/upload >/dev/null 2>&1 & echo $!`,
  ]);
  curl();
  await until(
    'members on disk',
    () => readdirSync(join(home, 'data/archive/.pacifica/drafts'), { recursive: true }).length > 3,
  );
  await first.stop('SIGKILL');
  const second = await start();
  const state = await jobEnd(second, 1);
  expect(state.state).toBe('FAILED');
  expect(state.exception).not.toBe('');
  for (const sum of sums.values()) expect((await fetch(`${second.urls.proxy}/files/sha1/${sum}`)).status).toBe(404);
  await until(
    'the leftovers to be removed',
    () => readdirSync(join(home, 'data/archive/.pacifica/drafts')).length === 0,
  );
});

it('a cart that was posted becomes ready by itself after kill -9, and its tar is right', async () => {
  const first = await start();
  const { file, sums } = bundle(600, 100_000);
  const { job_id: id } = await ingest(first, file);
  await postCart(first, 'killed', await cartOf(first, id));
  await first.stop('SIGKILL');
  const second = await start();
  expect(await cartEnd(second, 'killed')).toBe('ready');
  execFileSync('sh', ['-c', `curl -sSf '${second.urls.cart}/killed?filename=c.tar' | tar x`], { cwd: home });
  for (const [path, sum] of sums) expect(sha1File(join(home, 'c', path)), path).toBe(sum);
  expect((await jobState(second, id)).state).toBe('OK');
});

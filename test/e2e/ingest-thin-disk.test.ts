import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { type ClientRequest, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeBundle } from '../support/bundle.js';
import { ingest, type JobState, jobState } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { collect, piecesOf } from '../support/streams.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

// A volume that has promised more room than there is (thin provisioning): the file system takes the bytes, and only when
// they go to the disk does it turn out that there is no place for them. The system tells that once, to whoever syncs
// next; after it the pages count as written.

const canMount =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  existsSync('/dev/loop-control') &&
  spawnSync('mkfs.ext2', ['-V']).error === undefined;
if (!canMount)
  console.warn('no root, loop device or mkfs.ext2: a thin volume can not be tried here, its test is skipped');

const MiB = 2 ** 20;
/** room that there is, and room that the file system believes in */
const ROOM = 40;
const PROMISED = 300;
/** bytes that come in before there is room: more than there is room for */
const BEFORE = 80 * MiB;
/** bytes of a file from which on it may go past the page cache, and a little more */
const LARGE = 9 * MiB;
/** files that go past the page cache at a time */
const PAST = 2;

let home: string;
let pool: string;
let archive: string;
let daemon: Daemon | undefined;

beforeEach(() => {
  if (!canMount) return;
  home = mkdtempSync(join(tmpdir(), 'pacifica-thin-'));
  pool = join(home, 'pool');
  archive = join(home, 'data/archive');
  for (const folder of [pool, archive]) mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${ROOM}m`, 'tmpfs', pool]);
  const image = join(pool, 'image');
  writeFileSync(image, '');
  truncateSync(image, PROMISED * MiB);
  // without a journal, and with its tables written: only what is in files can fail
  execFileSync('mkfs.ext2', ['-q', '-N', '256', '-E', 'nodiscard,lazy_itable_init=0', image]);
  execFileSync('mount', ['-o', 'loop', image, archive]);
});

afterEach(async () => {
  if (!canMount) return;
  await daemon?.stop('SIGKILL');
  execFileSync('umount', [archive]);
  execFileSync('umount', [pool]);
  rmSync(home, { recursive: true, force: true });
});

/** @returns bytes of the files that are on their way in, the largest first */
function sizes(): number[] {
  const folder = join(archive, '.pacifica/tmp');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => statSync(join(folder, name)).size)
    .sort((one, other) => other - one);
}

/** Begins to send a bundle. */
async function begin(serve: Daemon, bytes: Buffer): Promise<ClientRequest> {
  const sent = request(`${serve.urls.ingest ?? ''}/upload`, { method: 'POST' });
  for await (const piece of piecesOf(bytes, MiB)) {
    if (!sent.write(piece)) await once(sent, 'drain');
  }
  return sent;
}

test.runIf(canMount).each([
  ['did not take', 0],
  ['lost while more came in', PAST],
])('bytes that the disk %s: FAILED, though the disk has room by the end', async (_name, others) => {
  const serve = await startServe(join(home, 'data'));
  daemon = serve;
  const tar = readFileSync(makeBundle(home, [{ path: 'big.raw', content: randomBytes(BEFORE + 20 * MiB) }]).file);
  // those that go past the page cache: the one after them goes through it
  const ahead = await Promise.all(Array.from({ length: others }, () => begin(serve, tar.subarray(0, LARGE))));
  for (const one of ahead) one.on('error', () => undefined);
  await until('them to be there', () => sizes().filter((size) => size >= LARGE - MiB).length >= others);
  const sent = await begin(serve, tar.subarray(0, BEFORE));
  const answered = new Promise<JobState>((resolve, reject) => {
    sent.on('error', reject);
    sent.on('response', (response) => {
      void collect(response).then((body) => resolve(JSON.parse(body.toString()) as JobState), reject);
    });
  });
  const id = others + 1;
  const failed = async (): Promise<boolean> => (await jobState(serve, id)).complete;
  await until(
    'most of it to arrive, or to be refused',
    async () => (sizes()[0] ?? 0) > BEFORE - 4 * MiB || (await failed()),
  );
  // all that is there goes to the disk, as far as there is one
  if (!(await failed())) spawnSync('sync', ['-f', archive]);
  // and somebody gives it what it lacks
  execFileSync('mount', ['-o', `remount,size=${2 * PROMISED}m`, pool]);
  sent.end(tar.subarray(BEFORE));

  const { job_id: job } = await answered;
  const state = await until('the end', async () => {
    const now = await jobState(serve, job);
    return now.complete && now;
  });
  expect(state).toMatchObject({ job_id: id, state: 'FAILED', task: 'UPLOADING' });
  expect(state.exception).toMatch(/ENOSPC|EIO/);
  for (const one of ahead) one.destroy();
  const files = async (): Promise<string[]> =>
    (await filesBelow(archive)).filter((path) => !path.startsWith('lost+found'));
  await until('nothing to be left', async () => (await files()).length === 0);
  // the next one goes its way
  const { file } = makeBundle(home, [{ path: 'next.raw', content: randomBytes(BEFORE) }]);
  expect(await ingest(serve, file)).toMatchObject({ state: 'OK', complete: true });
  expect(await files()).toHaveLength(1);
});

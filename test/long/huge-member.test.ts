import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fileEntry, TRANSACTION } from '../support/ingest.js';
import { jobEnd, type JobState } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';

// a member whose size the octal digits of a tar header can not hold: each program has its own way to say it

const GiB = 2 ** 30;
const size = (process.env.PACIFICA_LONG === 'short' ? 1 : 9) * GiB;

const home = mkdtempSync(join(tmpdir(), 'pacifica-huge-'));
const work = join(home, 'work');
let daemon: Daemon;
let sum: string;
beforeAll(async () => {
  mkdirSync(join(work, 'data'), { recursive: true });
  const file = join(work, 'data/huge.raw');
  writeFileSync(file, '');
  truncateSync(file, size);
  sum = execFileSync('sha1sum', [file], { encoding: 'utf8' }).slice(0, 40);
  const entry = { ...fileEntry('huge.raw', ''), size, hashsum: sum };
  writeFileSync(join(work, 'metadata.txt'), JSON.stringify([...TRANSACTION, entry]));
  daemon = await startServe(join(home, 'data'), { PACIFICA_LOG_LEVEL: 'warn' });
});
afterAll(async () => {
  await daemon.stop('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

it.each([
  ['GNU tar, gnu', 'tar c --format=gnu data metadata.txt'],
  ['GNU tar, posix', 'tar c --format=posix metadata.txt data'],
  ['bsdtar, pax', 'bsdtar c --format pax --no-read-sparse data metadata.txt'],
])(`a member of ${size / GiB} GiB by %s comes in with its bytes and its size`, async (_program, pack) => {
  const send = `${pack} | curl -sSf -X POST -T - ${daemon.urls.ingest ?? ''}/upload`;
  const answer = execFileSync('bash', ['-c', `set -o pipefail; ${send}`], { cwd: work, encoding: 'utf8' });
  const { job_id: job } = JSON.parse(answer) as JobState;
  expect(await jobEnd(daemon, job, 600_000)).toMatchObject({ state: 'OK', complete: true, exception: '' });
  const found = await fetch(`${daemon.urls.catalog ?? ''}/files?transaction=${job}`);
  const [file] = (await found.json()) as { _id: number; size: number; hashsum: string }[];
  expect(file).toMatchObject({ size, hashsum: sum });
  const stored = `${daemon.urls.archive ?? ''}/${String(file?._id)}`;
  const got = execFileSync('bash', ['-c', `set -o pipefail; curl -sSf ${stored} | sha1sum`], { encoding: 'utf8' });
  expect(got.slice(0, 40)).toBe(sum);
  const head = await fetch(stored, { method: 'HEAD' });
  expect(head.headers.get('x-content-length')).toBe(String(size));
  // the next one needs the room
  expect((await fetch(stored, { method: 'DELETE' })).status).toBe(200);
});

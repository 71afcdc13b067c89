import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cartEnd, cartOf, jobEnd, type JobState, postCart } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';

const GiB = 2 ** 30;
const MiB = 2 ** 20;
const size = (process.env.PACIFICA_LONG === 'short' ? 1 : 9) * GiB;

let home: string;
let daemon: Daemon;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-memory-'));
  daemon = await startServe(join(home, 'data'), { PACIFICA_LOG_LEVEL: 'warn' });
});
afterAll(async () => {
  await daemon.stop('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

it(`stays under 250 MiB of resident set while ${size / GiB} GiB go in, into a cart, and out`, async () => {
  mkdirSync(join(home, 'data-in/data'), { recursive: true });
  const file = join(home, 'data-in/data/huge.raw');
  execFileSync('truncate', ['-s', String(size), file]);
  const sum = execFileSync('sha1sum', [file], { encoding: 'utf8' }).slice(0, 40);
  writeFileSync(
    join(home, 'data-in/metadata.txt'),
    JSON.stringify([
      { destinationTable: 'Transactions.submitter', value: 10 },
      { destinationTable: 'Transactions.project', value: '1234a' },
      { destinationTable: 'Transactions.instrument', value: 54 },
      {
        destinationTable: 'Files',
        name: 'huge.raw',
        subdir: 'data/',
        size,
        mimetype: 'application/octet-stream',
        hashtype: 'sha1',
        hashsum: sum,
        ctime: '2026-01-01T00:00:00',
        mtime: '2026-01-01T00:00:00',
      },
    ]),
  );
  const answer = execFileSync(
    'sh',
    ['-c', `tar c -C '${home}/data-in' data metadata.txt | curl -sSf -X POST -T - ${daemon.urls.ingest ?? ''}/upload`],
    { encoding: 'utf8' },
  );
  const { job_id: id } = JSON.parse(answer) as JobState;
  expect(await jobEnd(daemon, id, 600_000)).toMatchObject({ state: 'OK', complete: true });
  const afterIngest = daemon.peakMemory();

  await postCart(daemon, 'huge', await cartOf(daemon, id));
  expect(await cartEnd(daemon, 'huge', 600_000)).toBe('ready');
  const afterCart = daemon.peakMemory();

  const got = execFileSync(
    'bash',
    ['-c', `set -o pipefail; curl -sSf ${daemon.urls.cart ?? ''}/huge | tar xO | sha1sum`],
    { encoding: 'utf8' },
  );
  expect(got.slice(0, 40)).toBe(sum);
  const byHash = execFileSync(
    'bash',
    ['-c', `set -o pipefail; curl -sSf ${daemon.urls.proxy ?? ''}/files/sha1/${sum} | sha1sum`],
    {
      encoding: 'utf8',
    },
  );
  expect(byHash.slice(0, 40)).toBe(sum);
  const peak = daemon.peakMemory();
  console.log(
    `peak resident memory: ${[afterIngest, afterCart, peak].map((bytes) => `${Math.round(bytes / MiB)} MiB`).join(' after ingest, ')}`,
  );
  expect(peak).toBeLessThan(250 * MiB);
});

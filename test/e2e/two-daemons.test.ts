import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeBundle } from '../support/bundle.js';
import { cartEnd, cartOf, jobEnd, postBundle, postCart } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { startedJobs } from '../support/started-jobs.js';

let home: string;
let daemons: Daemon[] = [];

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-two-'));
  const data = join(home, 'data');
  // both at once on an empty folder: one of them brings the database up, the other waits for it
  const env = { PACIFICA_LOG_LEVEL: 'debug' };
  daemons = await Promise.all([startServe(data, env), startServe(data, env)]);
});
afterAll(async () => {
  for (const daemon of daemons) expect(await daemon.stop()).toBe(0);
  rmSync(home, { recursive: true, force: true });
});

it('two daemons on one data folder share the work: no job runs twice, none is lost', async () => {
  const rounds = 30;
  const bundles = Array.from({ length: rounds }, (_, round) =>
    makeBundle(
      home,
      Array.from({ length: 5 }, (_, index) => ({
        path: `r${round}/f${index}`,
        content: `round ${round} file ${index}`,
      })),
    ),
  );
  const at = (round: number): Daemon => {
    const daemon = daemons[round % 2];
    if (daemon === undefined) throw new Error('no daemon');
    return daemon;
  };
  const ids = bundles.map(({ file }, round) => postBundle(at(round), file).job_id);
  expect(new Set(ids).size).toBe(rounds);
  // asked of the other one than it was posted to
  for (const [round, id] of ids.entries())
    expect(await jobEnd(at(round + 1), id)).toMatchObject({ state: 'OK', complete: true });

  const fileIds: string[] = [];
  for (const [round, id] of ids.entries()) {
    const request = await cartOf(at(round), id);
    fileIds.push(...request.fileids.map((entry) => entry.id));
    await postCart(at(round), `cart-${round}`, request);
  }
  expect(new Set(fileIds).size).toBe(rounds * 5);
  for (const round of ids.keys()) expect(await cartEnd(at(round + 1), `cart-${round}`)).toBe('ready');

  const runs = daemons.flatMap((daemon) => startedJobs(daemon));
  expect(runs.filter((run, index) => runs.indexOf(run) !== index)).toEqual([]);
  expect(runs).toHaveLength(rounds * 2);
});

import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeBundle, sha1 } from '../support/bundle.js';
import { jobEnd, jobState, postBundle } from '../support/main-job.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { type TcpGate, tcpGate } from '../support/tcp-gate.js';
import { until } from '../support/until.js';

// A worker whose policy, metadata or unique id service is not there: the connection is refused until somebody starts it.
// Each is tried for half a minute before the state says so, hence all at once.

const home = mkdtempSync(join(tmpdir(), 'pacifica-services-'));
const daemons: Daemon[] = [];
const gates: TcpGate[] = [];
afterAll(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
  await Promise.all(gates.map((gate) => gate.down()));
  rmSync(home, { recursive: true, force: true });
});

it.concurrent.each([
  ['policy', 'PACIFICA_POLICY_INGEST_URL', '/ingest', 'Policy Validation', 'the policy service'],
  ['metadata', 'PACIFICA_METADATA_INGEST_URL', '/ingest', 'ingest metadata', 'the metadata service'],
  ['unique ids', 'PACIFICA_UNIQUEID_URL', '', 'ingest files', 'the unique id service'],
])(
  '%s: the state says that it is away, and the job passes by itself when it is there',
  async (name, key, path, task, who) => {
    const data = join(home, name);
    const front = await startServe(data, {}, ['--no-worker']);
    daemons.push(front);
    const gate = await tcpGate(Number(new URL(front.urls.catalog ?? '').port));
    gates.push(gate);
    await gate.down();
    const worker = await startDaemon(['worker', '--data-dir', data, '--admin-port', '0'], {
      [key]: `http://127.0.0.1:${gate.port}${path}`,
      PACIFICA_JOBS_LOCK_LIFETIME: '2',
    });
    daemons.push(worker);
    const content = Buffer.from(`needs ${name}`);
    const work = join(home, `${name} bundle`);
    mkdirSync(work);
    const { job_id: job } = postBundle(front, makeBundle(work, [{ path: 'a/f', content }]).file);
    const waiting = await until(
      'the state to say so',
      async () => {
        const state = await jobState(front, job);
        return state.exception !== '' && state;
      },
      90_000,
    );
    expect(waiting).toMatchObject({ state: 'OK', task, complete: false });
    expect(waiting.exception).toMatch(new RegExp(`^waiting: can not reach ${who} at .*: connection refused$`));
    await gate.up();
    expect(await jobEnd(front, job, 90_000)).toMatchObject({ state: 'OK', complete: true, exception: '' });
    const got = execFileSync('curl', ['-sSf', `${front.urls.proxy ?? ''}/files/sha1/${sha1(content)}`]);
    expect(got.equals(content)).toBe(true);
  },
);

it.concurrent('no unique ids for the job itself: 503 with Retry-After, and the bundle is not read', async () => {
  const data = join(home, 'no ids');
  const front = await startServe(data, { PACIFICA_UNIQUEID_URL: 'http://127.0.0.1:9' });
  daemons.push(front);
  const big = join(home, 'big');
  writeFileSync(big, '');
  truncateSync(big, 2 ** 30);
  const words = ['-sS', '-D', '-', '-o', '/dev/null', '-w', 'sent %{size_upload}', '-T', big, '-X', 'POST'];
  const answer = await new Promise<string>((resolve) => {
    // curl may end with an error of its own: it is cut off in the middle of sending
    execFile('curl', [...words, '-H', 'Expect:', `${front.urls.ingest ?? ''}/upload`], (_error, stdout) =>
      resolve(stdout),
    );
  });
  expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  expect(answer).toMatch(/^retry-after: 5\r$/im);
  expect(Number(/sent (\d+)/.exec(answer)?.[1])).toBeLessThan(64 * 2 ** 20);
});

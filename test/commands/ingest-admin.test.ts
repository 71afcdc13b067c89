import { spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeBundle } from '../support/bundle.js';
import { cliCommand, cliEnv, type CliResult, pacifica } from '../support/cli.js';
import { ingest, jobEnd, jobState, postBundle } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { filesBelow } from '../support/tree.js';

// the commands of an administrator, beside a running daemon

const home = mkdtempSync(join(tmpdir(), 'pacifica-ingest-admin-'));
const data = join(home, 'data');
const rules = join(home, 'rules.json');
const env = { PACIFICA_POLICY_RULES: rules };
let daemon: Daemon;
beforeAll(async () => {
  allow(54);
  daemon = await startServe(data, env);
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

function run(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<CliResult> {
  return pacifica([...args, '--data-dir', data], { cwd: home, env: { ...env, ...more } });
}

/** Says which instrument the project of the bundles uses. */
function allow(instrument: number): void {
  const text = JSON.stringify({
    users: [{ _id: 10, network_id: 'root' }],
    instruments: [{ _id: 54 }, { _id: 55 }],
    projects: [{ _id: '1234a', users: [10], instruments: [instrument] }],
  });
  writeFileSync(`${rules}.new`, text);
  renameSync(`${rules}.new`, rules);
}

/** A job that fails because its instrument is not named. */
async function failedJob(name: string): Promise<number> {
  const { file } = makeBundle(home, [{ path: `${name}/x`, content: name }], {
    change: (entries) => entries.filter((entry) => !('value' in entry && entry.value === 54)),
  });
  const { job_id: job, state, exception } = await ingest(daemon, file);
  expect(state).toBe('FAILED');
  expect(exception).toContain('instrument');
  return job;
}

describe('ingest list', () => {
  it('shows what there is, all or by state and time, for people and as JSON', async () => {
    const { file } = makeBundle(home, [{ path: 'good', content: 'good' }]);
    const { job_id: good } = await ingest(daemon, file);
    const bad = await failedJob('list');
    const all = await run(['ingest', 'list']);
    expect(all.code).toBe(0);
    const lines = all.text().split('\n');
    expect(lines[0]).toMatch(/^JOB +STATE +TASK +BEGAN \(UTC\) +USER +KEPT +EXCEPTION$/);
    expect(lines[1]).toMatch(
      new RegExp(`^ *${bad} +FAILED +Policy Validation, 0% +.* root +yes +Invalid values for instrument`),
    );
    expect(lines[2]).toMatch(new RegExp(`^ *${good} +done +ingest metadata, 100% `));
    const failed = await run(['ingest', 'list', '--state', 'FAILED', '--since', '1h', '--json']);
    expect(failed.lines()).toMatchObject([
      {
        job_id: bad,
        state: 'FAILED',
        user: 'root',
        kind: 'upload',
        kept: true,
        stuck: false,
        files: 1,
      },
    ]);
    expect((await run(['ingest', 'list', '--since', '2999-01-01', '--json'])).text()).toBe('');
    expect((await run(['ingest', 'list', '--limit', '1', '--json'])).lines()).toHaveLength(1);
    expect((await run(['ingest', 'list', '--since', 'yesterday'])).code).toBe(2);
  });

  it('shows a job that makes no progress as stuck', async () => {
    // as one is whose daemon is gone
    await daemon.stop();
    const lonely = await startServe(data, {
      PACIFICA_POLICY_RULES: '',
      PACIFICA_POLICY_INGEST_URL: 'http://127.0.0.1:9/ingest',
    });
    const { file } = makeBundle(home, [{ path: 'stuck', content: 'stuck' }]);
    const { job_id: job } = postBundle(lonely, file);
    await lonely.stop('SIGKILL');
    const { code, stdout } = await (async () => {
      for (;;) {
        const result = await run(['ingest', 'list', '--limit', '1'], { PACIFICA_INGEST_STUCK_AFTER: '1' });
        if (result.text().includes('stuck')) return result;
      }
    })();
    expect(code).toBe(0);
    expect(stdout.toString()).toMatch(new RegExp(`^ *${job} +stuck .* stuck: no progress since `, 'm'));
    daemon = await startServe(data, env);
    expect(await jobEnd(daemon, job)).toMatchObject({ state: 'OK', complete: true });
  });
});

describe('ingest retry', () => {
  it('lets a failed job go on under its number when what was wrong is mended', async () => {
    const { file } = makeBundle(home, [{ path: 'again', content: 'again' }]);
    allow(55);
    const { job_id: job, state, task } = await ingest(daemon, file);
    expect({ state, task }).toEqual({ state: 'FAILED', task: 'Policy Validation' });
    const early = await run(['ingest', 'retry', String(job), '--json']);
    // its state may be FAILED again by now
    expect({ code: early.code, lines: early.lines() }).toMatchObject({ code: 0, lines: [{ job_id: job }] });
    expect(await jobEnd(daemon, job)).toMatchObject({ state: 'FAILED' });

    allow(54);
    const result = await run(['ingest', 'retry', String(job)]);
    expect({ code: result.code, text: result.text() }).toEqual({ code: 0, text: `job ${job} is tried again\n` });
    expect(await jobEnd(daemon, job)).toMatchObject({ state: 'OK', exception: '', complete: true });
    const again = await run(['ingest', 'retry', String(job)]);
    expect(again.code).toBe(2);
    expect(again.stderr).toContain('has not failed');
  });

  it.each([
    ['99999', 3],
    ['abc', 2],
  ])('of %s ends with %i', async (job, code) => {
    const result = await run(['ingest', 'retry', job]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(/^Error: /);
  });
});

describe('ingest job', () => {
  it('sets the state by hand as the original command did', async () => {
    const { file } = makeBundle(home, [{ path: 'by-hand', content: 'by-hand' }]);
    const { job_id: job } = await ingest(daemon, file);
    const words = ['--state', 'FAILED', '--task', 'ingest files', '--task-percent', '0.0'];
    const result = await run([
      'ingest',
      'job',
      '--job-id',
      String(job),
      ...words,
      '--exception',
      'Failed by adminstrator',
    ]);
    expect({ code: result.code, text: result.text() }).toEqual({
      code: 0,
      text: `job ${job} is FAILED, ingest files, 0%\n`,
    });
    expect(await jobState(daemon, job)).toMatchObject({
      state: 'FAILED',
      task: 'ingest files',
      task_percent: '0.00000',
      complete: true,
      exception: 'Failed by adminstrator',
    });
  });

  it.each([
    [['--job-id', '99999', '--state', 'FAILED'], 3],
    [['--job-id', '1', '--state', 'BAD'], 2],
    [['--job-id', '1', '--state', 'OK', '--task-percent', '101'], 2],
    [['--job-id', 'x', '--state', 'OK'], 2],
    [['--state', 'OK'], 2],
  ])('%j ends with %i', async (words, code) => {
    expect((await run(['ingest', 'job', ...words])).code).toBe(code);
  });
});

describe('ingest purge', () => {
  it.runIf(process.platform === 'linux')('to a full disk: all was done, and what was told of it is lost', async () => {
    const bad = await failedJob('full');
    const words = [...cliCommand, 'ingest', 'purge', '--data-dir', data];
    const { status, stderr } = spawnSync('sh', ['-c', 'exec "$@" >/dev/full', 'sh', ...words], {
      encoding: 'utf8',
      env: cliEnv({ ...env, PACIFICA_INGEST_KEEP_FAILED: '0' }),
    });
    expect(status).toBe(1);
    expect(stderr).toContain('Error: can not write to standard output: ENOSPC');
    expect((await run(['ingest', 'retry', String(bad)])).stderr).toContain('has no data any more');
  });

  it('removes the data of failed jobs whose time is up, and says of which', async () => {
    const bad = await failedJob('purge');
    expect((await run(['ingest', 'purge'])).text()).toBe('');
    expect((await filesBelow(join(data, 'archive'))).some((path) => path.includes(`ingest-${bad}/`))).toBe(true);
    const purged = await run(['ingest', 'purge', '--json'], { PACIFICA_INGEST_KEEP_FAILED: '0' });
    expect(purged.lines()).toContainEqual({ job_id: bad, purged: true });
    expect((await filesBelow(join(data, 'archive'))).some((path) => path.includes('/drafts/'))).toBe(false);
    expect(await filesBelow(join(data, 'ingest'))).toEqual([]);
    const retry = await run(['ingest', 'retry', String(bad)]);
    expect(retry.code).toBe(2);
    expect(retry.stderr).toContain('upload it again');
  });
});

it('needs a database that is there', async () => {
  const result = await pacifica(['ingest', 'list', '--data-dir', join(home, 'none')], { env });
  expect(result.code).toBe(3);
});

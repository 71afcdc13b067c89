import { mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeBundle, sha1 } from '../support/bundle.js';
import { pacifica } from '../support/cli.js';
import { fastest } from '../support/fastest.js';
import { cartEnd, cartOf, ingest, jobEnd, jobState, postBundle, postCart } from '../support/main-job.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { startServer, type TestServer } from '../support/server.js';
import { startedJobs } from '../support/started-jobs.js';
import { until } from '../support/until.js';

// serve --no-worker takes requests, workers run the jobs: real processes, stopped and killed for real

/** seconds; ten minutes where nothing may be found by waiting for it */
const LIFETIME = 4;
const LONG = 600;

let home: string;
let data: string;
let daemons: Daemon[];
/** a policy service that holds every question until it is let go */
let policy: TestServer;
let asked: { answer: ServerResponse; at: number }[];

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-worker-'));
  data = join(home, 'data');
  daemons = [];
  asked = [];
  policy = await startServer((_request, answer) => void asked.push({ answer, at: Date.now() }));
});
afterEach(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
  await policy.close();
  rmSync(home, { recursive: true, force: true });
});

const withPolicy = (lifetime: number): NodeJS.ProcessEnv => ({
  PACIFICA_POLICY_INGEST_URL: `${policy.url}/ingest`,
  PACIFICA_JOBS_LOCK_LIFETIME: String(lifetime),
  PACIFICA_LOG_LEVEL: 'debug',
});

async function front(env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
  const daemon = await startServe(data, { PACIFICA_LOG_LEVEL: 'debug', ...env }, ['--no-worker']);
  daemons.push(daemon);
  return daemon;
}

async function worker(env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
  const words = ['worker', '--data-dir', data, '--admin-port', '0'];
  const daemon = await startDaemon(words, { PACIFICA_LOG_LEVEL: 'debug', ...env });
  daemons.push(daemon);
  return daemon;
}

function bundle(name = 'one'): string {
  return makeBundle(home, [{ path: `${name}.txt`, content: name }]).file;
}

const letGo = (): void => {
  for (const { answer } of asked) answer.writeHead(200).end('{"status": "success"}');
};

it('serve --no-worker leaves jobs to workers, which answer health checks and nothing else', async () => {
  const serving = await front();
  const { job_id: id } = postBundle(serving, bundle());
  expect(await jobState(serving, id)).toMatchObject({ state: 'OK', task: 'UPLOADING', complete: false });
  const working = await worker();
  expect(Object.keys(working.urls)).toEqual(['admin']);
  const ready = await fetch(`${working.urls.admin}/health/ready`);
  expect(await ready.json()).toEqual({ status: 'ready', checks: { database: 'ok', archive: 'ok', jobs: 'ok' } });
  expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
  await postCart(serving, 'c', await cartOf(serving, id));
  expect(await cartEnd(serving, 'c')).toBe('ready');
  expect(startedJobs(serving)).toEqual([]);
  expect(startedJobs(working)).toEqual([`ingest ${id}`, 'cart 1']);
  const metrics = await (await fetch(`${working.urls.admin}/metrics`)).text();
  expect(metrics).toContain('pacifica_jobs_ended_total{kind="ingest",outcome="succeeded"} 1\n');
  expect(metrics).toContain('pacifica_job_queue_faults_total 0\n');
  // one name for one job in all lines about it
  const lines = working
    .log()
    .split('\n')
    .filter((line) => line.includes('"kind":"ingest"'));
  expect(lines.length).toBeGreaterThan(2);
  expect(new Set(lines.map((line) => (JSON.parse(line) as { job: unknown }).job))).toEqual(new Set([String(id)]));
  for (const daemon of daemons) expect(await daemon.stop()).toBe(0);
});

it.each(['cart', 'ingest'])('%s serve --no-worker leaves its jobs, too', async (service) => {
  const whole = await startServe(data);
  const { job_id: id } = await ingest(whole, bundle());
  const request = await cartOf(whole, id);
  expect(await whole.stop()).toBe(0);
  const single = await startDaemon([service, 'serve', '--data-dir', data, '--port', '0', '--no-worker'], {
    PACIFICA_LOG_LEVEL: 'debug',
  });
  daemons.push(single);
  if (service === 'cart') await postCart(single, 'c', request);
  else postBundle(single, bundle('two'));
  const working = await worker();
  const name = service === 'cart' ? 'cart 1' : `ingest ${id + 1}`;
  await until('the job', () => startedJobs(working).includes(name));
  expect(startedJobs(single)).toEqual([]);
});

it('a job of a worker that is killed runs elsewhere within two lifetimes of its lock', async () => {
  const env = withPolicy(LIFETIME);
  const serving = await front(env);
  const dying = await worker(env);
  const { job_id: id } = postBundle(serving, bundle());
  await until('the first run', () => asked.length === 1);
  const heir = await worker(env);
  const killed = Date.now();
  await dying.stop('SIGKILL');
  await until('the second run', () => asked.length === 2);
  expect((asked[1]?.at ?? Infinity) - killed).toBeLessThan(2 * LIFETIME * 1000);
  letGo();
  expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
  expect(startedJobs(heir)).toEqual([`ingest ${id}`]);
});

it('SIGTERM hands a job to another process within a second, though the handler hangs', async () => {
  // nothing is found by expiry or by a poll here
  const env = withPolicy(LONG);
  const serving = await front(env);
  let holder = await worker(env);
  const { job_id: id } = postBundle(serving, bundle());
  await until('the first run', () => asked.length === 1);
  const handOver = async (): Promise<number> => {
    const taking = await worker(env);
    const runs = asked.length;
    const told = Date.now();
    const ended = holder.stop('SIGTERM');
    await until('the next run', () => asked.length > runs);
    expect(await ended).toBe(0);
    expect(startedJobs(taking)).toEqual([`ingest ${id}`]);
    holder = taking;
    return (asked.at(-1)?.at ?? Infinity) - told;
  };
  expect(await fastest(handOver, 1000)).toBeLessThan(1000);
  letGo();
  expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
});

it('only files that were not finished are brought again after kill -9', async () => {
  const files = Array.from({ length: 20 }, (_, n) => ({ path: `f${n}`, content: `content ${n}` }));
  const whole = await startServe(data);
  daemons.push(whole);
  const { job_id: id } = await ingest(whole, makeBundle(home, files).file);
  const request = await cartOf(whole, id);

  // an archive on another machine: after some files it hangs
  const got: string[] = [];
  let hangs = true;
  const far = await startServer((req, res) => {
    const forward = async (): Promise<void> => {
      if (req.method === 'GET') {
        got.push(req.url ?? '');
        if (hangs && got.length > 12) return;
      }
      const answer = await fetch(`${whole.urls.archive}${req.url ?? ''}`, { method: req.method });
      res.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
    };
    void forward();
  });
  try {
    const elsewhere = join(home, 'carts');
    const env = {
      PACIFICA_ARCHIVEINTERFACE_URL: far.url,
      PACIFICA_JOBS_LOCK_LIFETIME: '2',
      PACIFICA_CARTD_VOLUME_PATH: join(elsewhere, 'cart'),
    };
    const start = async (): Promise<Daemon> => {
      const daemon = await startDaemon(['cart', 'serve', '--data-dir', elsewhere, '--port', '0'], env);
      daemons.push(daemon);
      return daemon;
    };
    const status = async (daemon: Daemon): Promise<{ files: { ready: number } }> =>
      (await (await fetch(`${daemon.urls.cart}/c/status`)).json()) as { files: { ready: number } };
    const first = await start();
    await postCart(first, 'c', request);
    const ready = await until('twelve files', async () => {
      const { files } = await status(first);
      return files.ready >= 12 && got.length >= 16 && files.ready;
    });
    await first.stop('SIGKILL');
    hangs = false;
    got.length = 0;
    const second = await start();
    expect(await cartEnd(second, 'c')).toBe('ready');
    expect(got).toHaveLength(files.length - ready);
  } finally {
    await far.close();
  }
});

it('settings say how many jobs of each kind run at a time, and how long finished ones are kept', async () => {
  const serving = await front();
  const { job_id: id } = postBundle(serving, bundle());
  const working = await worker({
    PACIFICA_JOBS_CONCURRENCY: '3',
    PACIFICA_JOBS_CART_CONCURRENCY: '1',
    PACIFICA_JOBS_KEEP_FINISHED: '0.2',
  });
  const slots = '"slots":{"cart":1,"cart-purge":1,"ingest":3,"ingest-purge":1}';
  await until('what it works on', () => working.log().includes(slots));
  const other = await worker({ PACIFICA_JOBS_CONCURRENCY: '5', PACIFICA_JOBS_INGEST_CONCURRENCY: '2' });
  await until('what the other one works on', () =>
    other.log().includes('"slots":{"cart":5,"cart-purge":1,"ingest":2,"ingest-purge":1}'),
  );
  expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
  await until(
    'its removal',
    async () => (await pacifica(['jobs', 'list', '--kind', 'ingest', '--data-dir', data, '--json'])).text() === '',
  );
});

describe('pacifica jobs', () => {
  const jobs = (...words: string[]) => pacifica(['jobs', ...words, '--data-dir', data, '--json']);

  it('lists and shows what waits for its next try, which get_state tells, too; retry runs it now', async () => {
    const env = withPolicy(LIFETIME);
    const serving = await front(env);
    const working = await worker(env);
    const { job_id: id } = postBundle(serving, bundle());
    let down = true;
    const answering = setInterval(() => {
      for (const { answer } of asked) {
        if (answer.writableEnded) continue;
        // some page of a web server in between: what may pass
        answer.writeHead(200).end(down ? '{}' : '{"status": "success"}');
      }
    }, 10);
    try {
      const state = await until('a wait', async () => {
        const now = (await jobState(serving, id)) as { tries?: number; next_try?: string };
        return (now.tries ?? 0) >= 1 && now.next_try !== undefined && now;
      });
      expect(state.next_try).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/);
      const listed = await jobs('list', '--kind', 'ingest');
      expect(listed.code).toBe(0);
      expect(listed.lines()).toMatchObject([{ kind: 'ingest', id: String(id), error: expect.any(String) as string }]);
      const shown = await jobs('show', 'ingest', String(id));
      expect(shown.lines()).toMatchObject([{ kind: 'ingest', tries: expect.any(Number) as number }]);
      const text = await pacifica(['jobs', 'show', 'ingest', String(id), '--data-dir', data]);
      expect(text.text()).toMatch(/^Job: +ingest \d+\nState: /);
      expect(text.text()).toMatch(/\nFailed tries: +\d+\n/);
      expect((await jobs('list', '--kind', 'cart')).lines()).toEqual([]);
      // it may run at this moment
      await until('retry', async () => (await jobs('retry', 'ingest', String(id))).code === 0);
      down = false;
      expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
      expect(await jobState(serving, id)).not.toHaveProperty('tries');
      const ended = await jobs('retry', 'ingest', String(id));
      expect(ended.code).toBe(1);
      expect(ended.stderr).toContain('has ended well');
      expect((await jobs('purge', '--older-than', '1h', '--yes')).lines()).toEqual([{ removed: 0 }]);
      expect((await jobs('purge', '--yes')).lines()).toEqual([{ removed: 1 }]);
      expect((await jobs('show', 'ingest', String(id))).code).toBe(3);
      expect(working.log()).toContain('it will be tried again');
    } finally {
      clearInterval(answering);
    }
  });

  it.each([
    { words: ['cancel', 'cart', '7'], says: 'nobody is there to be asked' },
    { words: ['purge'], says: 'nobody is there to be asked' },
    { words: ['cancel', 'ingest', 'run-7', '--yes'], says: 'is no id of a job' },
    { words: ['show', 'stage', '7'], says: 'to be one of: ingest, cart' },
  ])('refuses $words, and says why', async ({ words, says }) => {
    const { code, stderr } = await jobs(...words);
    expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
  });

  it('cancels a cart and an ingest, for good until they are tried again', async () => {
    const serving = await front();
    const content = 'in a cart';
    await fetch(`${serving.urls.archive}/77`, { method: 'PUT', body: content });
    await postCart(serving, 'c', {
      fileids: [{ id: '77', path: 'f', hashtype: 'sha1', hashsum: sha1(Buffer.from(content)) }],
    });
    const { job_id: id } = postBundle(serving, bundle());

    expect((await jobs('cancel', 'cart', '1', '--yes')).lines()).toEqual([{ kind: 'cart', id: '1', cancelled: true }]);
    expect((await jobs('cancel', 'ingest', String(id), '--yes')).code).toBe(0);
    const cart = await fetch(`${serving.urls.cart}/c`, { method: 'HEAD' });
    expect([cart.status, cart.headers.get('x-pacifica-message')]).toEqual([500, 'cancelled by an admin']);
    expect(await jobState(serving, id)).toMatchObject({ state: 'FAILED', exception: 'cancelled by an admin' });
    expect((await jobs('cancel', 'cart', '1', '--yes')).code).toBe(1);
    expect((await jobs('cancel', 'cart', '99', '--yes')).code).toBe(3);
    // a cart goes by its uid as well
    expect((await jobs('cancel', 'cart', 'c', '--yes')).code).toBe(1);
    const nobody = await jobs('retry', 'cart', 'nobody');
    expect([nobody.code, nobody.stderr]).toEqual([3, expect.stringContaining('no cart with the uid nobody')]);

    // the sweeps of a worker that starts leave the cart alone, and take back what the ingest had
    const working = await worker();
    await until('the taking back', async () => {
      const [job] = (await jobs('show', 'ingest', String(id))).lines() as { state: string }[];
      return job?.state === 'completed';
    });
    expect(startedJobs(working)).toEqual([`ingest ${id}`]);
    expect(await jobState(serving, id)).toMatchObject({ state: 'FAILED', exception: 'cancelled by an admin' });
    expect(await cartEnd(serving, 'c')).toBe('error');

    expect((await jobs('retry', 'cart', 'c')).lines()).toEqual([{ kind: 'cart', id: '1', retried: true }]);
    expect((await jobs('retry', 'ingest', String(id))).code).toBe(0);
    expect(await cartEnd(serving, 'c')).toBe('ready');
    expect((await jobs('show', 'cart', 'c')).lines()).toMatchObject([{ kind: 'cart', id: '1', uid: 'c' }]);
    const table = await pacifica(['jobs', 'list', '--data-dir', data]);
    expect(table.text()).toMatch(/^KIND +ID +CART +STATE/);
    expect(table.text()).toMatch(/^cart +1 +c +completed/m);
    await until('the ingest', async () => (await jobState(serving, id)).complete);
    expect(await jobState(serving, id)).toMatchObject({ state: 'OK', exception: '', complete: true });
  });
});

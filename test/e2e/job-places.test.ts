import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backendFor } from '../../src/jobs/backend.js';
import { Database } from '../../src/storage/database/database.js';
import { makeBundle } from '../support/bundle.js';
import { mongoPlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { cartEnd, jobEnd, jobState, postBundle, postCart } from '../support/main-job.js';
import { mongoUrl } from '../support/mongo.js';
import { startPostgres } from '../support/postgres.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { startedJobs } from '../support/started-jobs.js';
import { until } from '../support/until.js';

// the same site with its jobs in each of the places that [jobs] url and [database] url choose

const postgres = await startPostgres();
afterAll(() => postgres?.stop());

interface Site {
  /** for the daemons */
  readonly env: NodeJS.ProcessEnv;
  readonly database: string;
  readonly url: string;
  /** false: jobs may start twice, see JobPlace */
  readonly atomic: boolean;
}

const places: { name: string; available: boolean; open: (data: string) => Promise<Site> }[] = [
  {
    name: 'SQLite',
    available: true,
    open: async (data) => ({ env: {}, database: `sqlite://${data}/pacifica.db`, url: '', atomic: true }),
  },
  {
    name: 'PostgreSQL',
    available: postgres !== undefined,
    open: async () => {
      const database = (await postgres?.createDatabase()) ?? '';
      return { env: { PACIFICA_DATABASE_URL: database }, database, url: '', atomic: true };
    },
  },
  {
    name: 'MongoDB',
    available: mongoUrl !== undefined,
    open: async (data) => {
      const place = await mongoPlace(mongoUrl);
      closing.push(() => place.close());
      const { url, atomic } = place;
      return { env: { PACIFICA_JOBS_URL: url }, database: `sqlite://${data}/pacifica.db`, url, atomic };
    },
  },
];

let home: string;
let data: string;
let daemons: Daemon[];
let closing: (() => Promise<void>)[];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-places-'));
  data = join(home, 'data');
  daemons = [];
  closing = [];
});
afterEach(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
  for (const close of closing) await close();
  rmSync(home, { recursive: true, force: true });
});

async function start(starting: Promise<Daemon>): Promise<Daemon> {
  const daemon = await starting;
  daemons.push(daemon);
  return daemon;
}

const LOGGED = { PACIFICA_LOG_LEVEL: 'debug' };
const front = (env: NodeJS.ProcessEnv): Promise<Daemon> =>
  start(startServe(data, { ...LOGGED, ...env }, ['--no-worker']));
const worker = (env: NodeJS.ProcessEnv): Promise<Daemon> =>
  start(startDaemon(['worker', '--data-dir', data, '--admin-port', '0'], { ...LOGGED, ...env }));

/** @returns the log's lines with this message */
function lines(daemon: Daemon, msg: string): { kind: string; job: string }[] {
  return daemon
    .log()
    .split('\n')
    .filter((line) => line.includes(`"msg":"${msg}"`))
    .map((line) => JSON.parse(line) as { kind: string; job: string });
}

describe.each(places)('jobs on $name', ({ available, open }) => {
  it.skipIf(!available)('rows that have lost their jobs get them again, once, when workers start', async () => {
    const { env, database: url, url: jobsUrl, atomic } = await open(data);
    const serving = await front(env);
    const ids = ['a', 'b', 'c'].map((name) => {
      const { file } = makeBundle(home, [{ path: `${name}.txt`, content: name }]);
      return postBundle(serving, file).job_id;
    });
    const none = { fileids: [{ id: '404', path: 'f', hashtype: 'md5', hashsum: '' }] };
    await postCart(serving, 'c', none);

    const database = await Database.open(url);
    const backend = await backendFor({ database, url: jobsUrl, log: silent, onError: () => undefined });
    await backend.connect();
    // and two that the daemon put for itself
    await until('all jobs', async () => (await backend.repository.queryJobs()).total === 4 + 2);
    expect(await backend.repository.purgeAllJobs()).toBe(6);
    await backend.close();
    await database.close();

    const workers = await Promise.all([worker(env), worker(env)]);
    for (const id of ids) expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
    expect(await cartEnd(serving, 'c')).toBe('error');
    const started = workers.flatMap((one) => startedJobs(one));
    const wanted = ['cart 1', ...ids.map((id) => `ingest ${id}`)];
    expect([...new Set(started)].toSorted()).toEqual(wanted.toSorted());
    if (atomic) expect(started).toHaveLength(wanted.length);
    for (const daemon of daemons) expect(await daemon.stop()).toBe(0);
    expect(lines(serving, 'job starts')).toEqual([]);
  });
});

it.skipIf(postgres === undefined)(
  'a database that is away is told, and everything goes on when it is back',
  async () => {
    const database = (await postgres?.createDatabase()) ?? '';
    const env = { PACIFICA_DATABASE_URL: database };
    const serving = await front(env);
    const working = await worker(env);
    const { file } = makeBundle(home, [{ path: 'a.txt', content: 'a' }]);
    const ready = async (daemon: Daemon): Promise<{ status: number; checks: Record<string, string> }> => {
      const answer = await fetch(`${daemon.urls.admin}/health/ready`);
      const { checks } = (await answer.json()) as { checks: Record<string, string> };
      return { status: answer.status, checks };
    };
    expect(await ready(working)).toMatchObject({ status: 200 });
    // a connection that is at work when it breaks is told as the failure of that work: here it is to be idle
    await until('what it does at its start', () => lines(working, 'job done').length >= 2);
    await postgres?.down();
    try {
      const away = await until('both to say so', async () => {
        const told = await Promise.all([ready(serving), ready(working)]);
        return told.every(({ status }) => status === 503) && told;
      });
      for (const { checks } of away) expect(checks.jobs).toContain('the job queue on PostgreSQL');
      expect((await fetch(`${working.urls.admin}/health/live`)).status).toBe(200);
      const faults = await until('a count', async () => {
        const text = await (await fetch(`${working.urls.admin}/metrics`)).text();
        return Number(/^pacifica_job_queue_faults_total (\d+)$/m.exec(text)?.[1]) || undefined;
      });
      expect(faults).toBeGreaterThan(0);
      for (const line of ['lost a connection of the job queue', 'can not look for jobs that are due'])
        await until(line, () => lines(working, line).length > 0);
    } finally {
      await postgres?.up();
    }
    await until('both to be ready', async () =>
      (await Promise.all([ready(serving), ready(working)])).every(({ status }) => status === 200),
    );
    const { job_id: id } = postBundle(serving, file);
    expect(await jobEnd(serving, id)).toMatchObject({ state: 'OK', complete: true });
    expect(await jobState(serving, id)).toMatchObject({ exception: '' });
    expect(startedJobs(working)).toEqual([`ingest ${id}`]);
  },
);

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobKind } from '../../src/lib/job-queue.js';
import { VerifyRuns } from '../../src/storage/database/archive-verify.js';
import { CartTables } from '../../src/storage/database/carts.js';
import { Database } from '../../src/storage/database/database.js';
import { sha1 } from '../support/bundle.js';
import { pacifica } from '../support/cli.js';
import { cartEnd, postCart } from '../support/main-job.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { startedJobs } from '../support/started-jobs.js';
import { until } from '../support/until.js';

// jobs that are about no row, in real processes: verifying by schedule, and removing what nobody needs

let home: string;
let data: string;
let daemons: Daemon[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-standing-'));
  data = join(home, 'data');
  daemons = [];
});
afterEach(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
  rmSync(home, { recursive: true, force: true });
});

async function start(starting: Promise<Daemon>): Promise<Daemon> {
  const daemon = await starting;
  daemons.push(daemon);
  return daemon;
}

const jobs = (...words: string[]) => pacifica(['jobs', ...words, '--data-dir', data, '--json']);

describe('verifying by schedule', () => {
  const FILES = 40;
  const SIZE = 20_000;
  const SCHEDULE = {
    PACIFICA_ARCHIVEINTERFACE_VERIFY_SCHEDULE: '00:00-24:00',
    PACIFICA_JOBS_LOCK_LIFETIME: '2',
    PACIFICA_LOG_LEVEL: 'debug',
  };
  /** all files take four seconds */
  const SLOWLY = { ...SCHEDULE, PACIFICA_ARCHIVEINTERFACE_VERIFY_RATE: String((FILES * SIZE) / 4) };

  const archive = (env: NodeJS.ProcessEnv): Promise<Daemon> =>
    start(startDaemon(['archive', 'serve', '--data-dir', data, '--port', '0', '--admin-port', '0'], env));
  const worker = (env: NodeJS.ProcessEnv): Promise<Daemon> =>
    start(startDaemon(['worker', '--data-dir', data, '--admin-port', '0'], env));

  /** An archive with files, and nobody at it. */
  async function fill(): Promise<void> {
    const daemon = await archive({});
    for (let id = 1; id <= FILES; id += 1) {
      const answer = await fetch(`${daemon.urls.archive}/${id}`, { method: 'PUT', body: Buffer.alloc(SIZE, id) });
      expect(answer.status).toBe(201);
    }
    // without a schedule there is no queue
    const ready = await fetch(`${daemon.urls.admin}/health/ready`);
    expect(await ready.json()).toEqual({ status: 'ready', checks: { database: 'ok', archive: 'ok' } });
    await daemon.stop();
  }

  /** files that a daemon has verified */
  async function verified(daemon: Daemon): Promise<number> {
    const metrics = await (await fetch(`${daemon.urls.admin}/metrics`)).text();
    return Number(/^pacifica_archive_verified_files_total (\d+)$/m.exec(metrics)?.[1]);
  }

  /** Waits for the end of the round. @returns what is written down of it */
  async function end(): Promise<object> {
    const database = await Database.open(`sqlite://${join(data, 'pacifica.db')}`);
    try {
      const runs = new VerifyRuns(database);
      return await until('the end of the round', async () => {
        const run = await runs.find('schedule');
        return run?.ended == null ? undefined : run;
      });
    } finally {
      await database.close();
    }
  }

  it('is one job of two daemons, and each file is read once a round', async () => {
    await fill();
    const two = await Promise.all([archive(SLOWLY), archive(SLOWLY)]);
    const listed = await until('the job', async () => (await jobs('list', '--state', 'running')).lines()[0]);
    expect(listed).toMatchObject({ kind: 'verify', id: 'schedule', tries: 0 });
    const refused = await jobs('cancel', 'verify', 'schedule', '--yes');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('verify_schedule')]);
    expect(await end()).toMatchObject({ files: FILES, bytes: FILES * SIZE, damaged: 0 });
    const counts = await Promise.all(two.map(verified));
    expect(counts.sort((one, other) => one - other)).toEqual([0, FILES]);
    expect(two.flatMap((daemon) => startedJobs(daemon, ['verify']))).toEqual(['verify schedule']);
  });

  it('goes on in a worker where it stopped when the daemon is killed', async () => {
    await fill();
    const first = await archive(SLOWLY);
    const before = await until('half of the files', async () => {
      const count = await verified(first);
      return count >= FILES / 2 && count;
    });
    await first.stop('SIGKILL');
    const second = await worker(SCHEDULE);
    expect(await end()).toMatchObject({ files: FILES, damaged: 0 });
    const after = await verified(second);
    expect(before + after).toBeGreaterThanOrEqual(FILES);
    // what was read within the last second before the kill is read again
    expect(after).toBeLessThan(FILES);
    expect(startedJobs(second, ['verify'])).toEqual(['verify schedule']);
  });

  it('is left alone by a worker whose archive is behind a URL', async () => {
    await fill();
    const daemon = await archive({});
    const far = await worker({ ...SCHEDULE, PACIFICA_ARCHIVEINTERFACE_URL: daemon.urls.archive });
    const slots = '"slots":{"cart":4,"cart-purge":1,"ingest":4,"ingest-purge":1}';
    await until('what it works on', () => far.log().includes(slots));
    expect((await jobs('list', '--kind', 'verify')).lines()).toEqual([]);
    await worker(SCHEDULE);
    expect(await end()).toMatchObject({ files: FILES });
    expect(startedJobs(far, ['verify'])).toEqual([]);
  });
});

describe('removing what nobody needs', () => {
  const PURGES: readonly JobKind[] = ['ingest-purge', 'cart-purge'];

  it('is done once by two daemons that start at once, and again by the job itself', async () => {
    const first = await start(startServe(data));
    await fetch(`${first.urls.archive}/77`, { method: 'PUT', body: 'content' });
    await postCart(first, 'deleted', {
      fileids: [{ id: '77', path: 'f', hashtype: 'sha1', hashsum: sha1(Buffer.from('content')) }],
    });
    expect(await cartEnd(first, 'deleted')).toBe('ready');
    expect(await first.stop()).toBe(0);
    // as processes leave it that are killed: a cart that is deleted and still there, and what belongs to none
    const database = await Database.open(`sqlite://${join(data, 'pacifica.db')}`);
    expect(await new CartTables(database).delete('deleted')).toEqual([1]);
    await database.writeStatement('DELETE FROM pacifica_job', {});
    await database.close();
    const left = [join(data, 'cart/1'), join(data, 'cart/99'), join(data, 'ingest/4711.json')];
    mkdirSync(join(data, 'cart/99/orphan'), { recursive: true });
    writeFileSync(join(data, 'cart/99/@cart'), 'orphan');
    mkdirSync(join(data, 'ingest'), { recursive: true });
    writeFileSync(join(data, 'ingest/4711.json'), '[]');
    expect(left.filter((path) => existsSync(path))).toEqual(left);

    const env = { PACIFICA_LOG_LEVEL: 'debug' };
    const two = await Promise.all([start(startServe(data, env)), start(startServe(data, env))]);
    await until('all removals', () => !left.some((path) => existsSync(path)));
    const shown = await until('what comes next', async () => {
      const list = (await jobs('list')).lines() as { kind: string; id: string; state: string; next: string | null }[];
      return list.every(({ state }) => state === 'scheduled' || state === 'completed') && list;
    });
    const next = new Map(shown.map(({ kind, id, next: at }) => [`${kind} ${id}`, at]));
    expect(next.get('cart-purge deleted')).toBeNull();
    const wait = (job: string): number => Date.parse(next.get(job) ?? '') - Date.now();
    expect(wait('ingest-purge leftovers')).toBeGreaterThan(0);
    expect(wait('ingest-purge leftovers')).toBeLessThan(60_000);
    expect(wait('cart-purge orphans')).toBeGreaterThan(60_000);
    expect(two.flatMap((daemon) => startedJobs(daemon, PURGES)).sort()).toEqual([
      'cart-purge deleted',
      'cart-purge orphans',
      'ingest-purge leftovers',
    ]);

    // an admin need not wait
    expect((await jobs('retry', 'cart-purge', 'orphans')).code).toBe(0);
    await until('its run', () => two.flatMap((daemon) => startedJobs(daemon, PURGES)).length === 4);
    const refused = await jobs('cancel', 'ingest-purge', 'leftovers', '--yes');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('it would come again')]);
    expect((await jobs('show', 'cart-purge', '1')).code).toBe(3);
  });
});

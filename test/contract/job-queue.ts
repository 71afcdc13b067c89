import { setTimeout as sleep } from 'node:timers/promises';
import { toJobId } from 'agenda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { backendFor, type QueueBackend } from '../../src/jobs/backend.js';
import { type Jobs, type JobsOptions, openJobQueue } from '../../src/jobs/jobs.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { JobHandler, JobKind, JobRows, JobRun } from '../../src/lib/job-queue.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';
import { allUnfinished } from '../support/unfinished.js';
import type { JobPlace } from './job-backend.js';

/** ms: so long that nothing is found by it while a test runs */
const NEVER = 600_000;

/** ms in which something must happen that needs no poll and no expiry; the machine may be busy */
const SOON = 15_000;

/** What the domain and the daemons rely on, whatever backend `[jobs] url` chooses. */
export function jobQueueContract(name: string, open: () => Promise<JobPlace>): void {
  describe(`${name} as the job queue`, () => {
    let place: JobPlace;
    let backend: QueueBackend;
    const opened: Jobs[] = [];

    beforeAll(async () => {
      place = await open();
      backend = await backendFor({ ...place, log: silent, onError: () => undefined });
      await backend.connect();
    });
    beforeEach(() => backend.repository.purgeAllJobs());
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((jobs) => jobs.stop()));
    });
    afterAll(async () => {
      await backend.close();
      await place.close();
    });

    /** One more process, as far as the backend can tell. */
    async function queue(
      handlers: Partial<Record<JobKind, JobHandler>>,
      options: Partial<JobsOptions> = {},
    ): Promise<Jobs> {
      const jobs = await openJobQueue({
        ...place,
        handlers: new Map(Object.entries(handlers) as [JobKind, JobHandler][]),
        lockLifetimeMs: 1500,
        concurrency: 4,
        pollMs: place.atomic ? NEVER : 500,
        stopTimeoutMs: 300,
        work: true,
        log: silent,
        ...options,
      });
      opened.push(jobs);
      await jobs.start();
      return jobs;
    }

    const client = (): Promise<Jobs> => queue({}, { work: false });
    const waiting = async (): Promise<number> => (await backend.repository.queryJobs({ state: 'queued' })).total;
    const stored = async (): Promise<number> => (await backend.repository.queryJobs()).total;

    /** A handler that notes its runs. */
    function recorder(work: (id: string, run: JobRun) => Promise<void> = async () => undefined) {
      const runs: { id: string; attempt: number; from: number; to?: number }[] = [];
      const handler: JobHandler = async (id, run) => {
        const noted: (typeof runs)[number] = { id, attempt: run.attempt, from: Date.now() };
        runs.push(noted);
        try {
          await work(id, run);
        } finally {
          noted.to = Date.now();
        }
      };
      return { runs, handler };
    }

    /** That many runs, and no more where the server lets no job start twice; else those are told. */
    function expectRuns(runs: readonly unknown[], count: number): void {
      expect(runs.length).toBeGreaterThanOrEqual(count);
      if (place.atomic) expect(runs).toHaveLength(count);
      else if (runs.length > count) console.info(`${name}: ${runs.length - count} jobs started twice`);
    }

    /** Keeps handlers inside until it is opened. */
    function gate() {
      let open: () => void = () => undefined;
      const opens = new Promise<void>((resolve) => (open = resolve));
      return { open, opens };
    }

    /** Runs until it is told to leave. */
    const untilAborted = async (_id: string, { signal }: JobRun): Promise<void> => {
      await sleep(NEVER, undefined, { signal }).catch(() => undefined);
      throw signal.reason;
    };

    describe('putting', () => {
      it('runs a job once, and keeps it to be looked at', async () => {
        const { runs, handler } = recorder();
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', '17');
        await until('the end', () => jobs.counts.get('cart')?.succeeded === 1, SOON);
        await until('the state', async () => (await backend.repository.queryJobs({ state: 'completed' })).total === 1);
        expect(runs).toMatchObject([{ id: '17', attempt: 1 }]);
      });

      it('makes one job of a kind and id that is put twice before it runs', async () => {
        const front = await client();
        await front.add('cart', '1');
        await front.add('cart', '1');
        await front.add('ingest', '1');
        expect(await stored()).toBe(2);
        const { runs, handler } = recorder();
        const jobs = await queue({ cart: handler, ingest: handler });
        await until(
          'both',
          () => jobs.counts.get('cart')?.succeeded === 1 && jobs.counts.get('ingest')?.succeeded === 1,
        );
        expectRuns(runs, 2);
      });

      it('makes one job of many that are put at the same moment by several processes', async () => {
        const fronts = [await client(), await client(), await client()];
        await Promise.all(
          fronts.flatMap((front) => Array.from({ length: 10 }, (_, n) => front.add('cart', `${n % 2}`))),
        );
        expect(await stored()).toBe(2);
      });

      it('runs a job once more that is put while it runs, and never twice at a time', async () => {
        const door = gate();
        const { runs, handler } = recorder(() => door.opens);
        const jobs = await queue({ cart: handler });
        const other = await queue({ cart: handler });
        await jobs.add('cart', '1');
        await until('the start', () => runs.length >= 1, SOON);
        await other.add('cart', '1');
        await jobs.add('cart', '1');
        await sleep(100);
        expectRuns(runs, 1);
        door.open();
        await until('the second run', () => runs[1]?.to !== undefined, SOON);
        if (place.atomic) expect(runs[1]?.from).toBeGreaterThanOrEqual(runs[0]?.to ?? Infinity);
        await until('the end', async () => (await backend.repository.queryJobs({ state: 'completed' })).total === 1);
        expectRuns(runs, 2);
      });

      it('lets a handler put its own job for later', async () => {
        const { runs, handler } = recorder(async (id, { attempt }) => {
          expect(attempt).toBe(1);
          if (runs.length < 3) await jobs.add('cart', id, { delay: 100 });
        });
        const jobs: Jobs = await queue({ cart: handler }, { keepFinishedMs: 0 });
        await jobs.add('cart', 'all');
        await until('three runs', async () => runs.length >= 3 && (await stored()) === 0, SOON);
        expect((runs[1]?.from ?? 0) - (runs[0]?.from ?? 0)).toBeGreaterThanOrEqual(100);
      });

      it('runs a finished job again that is put again', async () => {
        const { runs, handler } = recorder(async () => {
          if (runs.length === 1) throw new PacificaError('integrity', 'bad');
        });
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', '1');
        await until('failure', async () => (await backend.repository.queryJobs({ state: 'failed' })).total === 1, SOON);
        await jobs.add('cart', '1');
        await until('success', () => jobs.counts.get('cart')?.succeeded === 1, SOON);
        expect(runs).toMatchObject([{ attempt: 1 }, { attempt: 1 }]);
      });

      it('makes jobs for rows that have none, and leaves those alone that have one', async () => {
        const door = gate();
        const { runs, handler } = recorder(async (id) => {
          if (id === 'running') await door.opens;
          if (id === 'retrying') throw new PacificaError('unavailable', 'away');
        });
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', 'running');
        await jobs.add('cart', 'retrying');
        await jobs.add('cart', 'later', { delay: NEVER });
        await until('both runs', () => runs.length >= 2 && jobs.counts.get('cart')?.retried === 1, SOON);
        const { jobs: before } = await backend.repository.queryJobs({ sort: { nextRunAt: 'asc' } });
        await jobs.ensure('cart', ['running', 'retrying', 'later', 'missing'], allUnfinished);
        await until('the missing one', () => runs.some(({ id }) => id === 'missing'), SOON);
        const { jobs: after } = await backend.repository.queryJobs({ state: 'scheduled' });
        const later = before.find(({ data }) => (data as { id: string }).id === 'later');
        expect(after.map(({ nextRunAt }) => nextRunAt)).toContainEqual(later?.nextRunAt);
        door.open();
        await until('its end', () => jobs.counts.get('cart')?.succeeded === 2, SOON);
        expectRuns(
          runs.filter(({ id }) => id === 'running'),
          1,
        );
      });

      it('makes none for a row that its job finished after it was read, nor asks about those that have one', async () => {
        const door = gate();
        const { runs, handler } = recorder(async (id) => {
          if (id === 'running') await door.opens;
        });
        const jobs = await queue({ cart: handler });
        const ended = async (): Promise<number> => (await backend.repository.queryJobs({ state: 'completed' })).total;
        await jobs.add('cart', 'running');
        await jobs.add('cart', 'done');
        await until('its end', async () => (await ended()) === 1 && runs.length >= 2, SOON);
        const asked: string[] = [];
        await jobs.ensure('cart', ['done', 'running', 'lost'], async (ids) => {
          asked.push(...ids);
          // a run that ends between the look at the queue and the putting
          door.open();
          await until('the other end', async () => (await ended()) === 2, SOON);
          return ['lost'];
        });
        expect(asked.toSorted()).toEqual(['done', 'lost']);
        await until('the lost one', async () => (await ended()) === 3, SOON);
        expect(new Set(runs.map(({ id }) => id))).toEqual(new Set(['running', 'done', 'lost']));
        expectRuns(runs, 3);
        expect(await waiting()).toBe(0);
      });

      it('leaves a job alone that another process puts while it asks', async () => {
        const door = gate();
        const { runs, handler } = recorder(() => door.opens);
        const jobs = await queue({ cart: handler });
        const front = await client();
        await front.ensure('cart', ['1', '2'], async (ids) => {
          await jobs.add('cart', '1');
          await jobs.add('cart', '2', { delay: NEVER });
          await until('the run', () => runs.length === 1, SOON);
          return ids;
        });
        door.open();
        await until('the end', () => jobs.counts.get('cart')?.succeeded === 1, SOON);
        const { jobs: list } = await until('what is written of it', async () => {
          const found = await backend.repository.queryJobs();
          return found.jobs.every(({ lockedAt }) => !lockedAt) && found;
        });
        expect(list.map(({ nextRunAt }) => nextRunAt !== null).sort()).toEqual([false, true]);
        expect(list.find(({ nextRunAt }) => nextRunAt)?.nextRunAt?.getTime()).toBeGreaterThan(Date.now() + NEVER / 2);
        expectRuns(runs, 1);
      });

      it('makes more jobs at once than fit into one statement', async () => {
        const front = await client();
        // FerretDB reads all of them for each one that it stores; there are 50 at a time there
        const ids = Array.from({ length: place.atomic ? 1234 : 123 }, (_, n) => `${n}`);
        await front.ensure('cart', ids, allUnfinished);
        expect(await waiting()).toBe(ids.length);
      });
    });

    describe('time', () => {
      it('starts what another process puts long before the next poll', async () => {
        const { runs, handler } = recorder();
        await queue({ cart: handler });
        const front = await client();
        await front.add('cart', '1');
        await until('the start', () => runs.length >= 1, SOON);
      });

      it('starts at the time asked for, while others come and go', async () => {
        const { runs, handler } = recorder();
        const jobs = await queue({ cart: handler });
        const front = await client();
        const asked = Date.now();
        const late = 1800;
        await front.add('cart', 'late', { delay: late });
        await jobs.add('cart', 'early', { delay: 300 });
        for (let n = 0; n < 5; n += 1) await front.add('cart', `${n}`);
        await until('both', () => runs.length >= 7, SOON);
        const at = (id: string): number => (runs.find((run) => run.id === id)?.from ?? 0) - asked;
        expect(at('early')).toBeGreaterThanOrEqual(300);
        expect(at('early')).toBeLessThan(late);
        expect(at('late')).toBeGreaterThanOrEqual(late);
      });

      it('starts at a time that another process asked for', async () => {
        const { runs, handler } = recorder();
        await queue({ cart: handler });
        const front = await client();
        await front.add('cart', '1', { delay: 300 });
        await until('the start', () => runs.length >= 1, SOON);
      });

      it('starts at the sooner of two times', async () => {
        const front = await client();
        await front.add('cart', '1', { delay: NEVER });
        await front.add('cart', '1');
        await front.add('cart', '2');
        await front.add('cart', '2', { delay: NEVER });
        const { runs, handler } = recorder();
        await queue({ cart: handler });
        await until('both', () => runs.length >= 2, SOON);
      });

      it('removes finished jobs after their time', async () => {
        const { handler } = recorder(async (id) => {
          if (id === 'bad') throw new PacificaError('integrity', 'bad');
        });
        const jobs = await queue({ cart: handler }, { keepFinishedMs: 200 });
        await jobs.add('cart', 'bad');
        await jobs.add('cart', 'good');
        await jobs.add('cart', 'later', { delay: NEVER });
        await until('their removal', async () => (await stored()) === 1, SOON);
      });

      it('removes what has ended well at once when none is to be kept', async () => {
        const { runs, handler } = recorder();
        const jobs = await queue({ cart: handler }, { keepFinishedMs: 0 });
        await jobs.add('cart', '1');
        const seen = new Set<string>();
        await until('its removal', async () => {
          const { jobs: list } = await backend.repository.queryJobs();
          for (const { state } of list) seen.add(state);
          return runs.length >= 1 && list.length === 0;
        });
        expect([...seen]).not.toContain('completed');
      });
    });

    describe('failure', () => {
      it('tries again what may pass, with longer and longer waits', async () => {
        const { runs, handler } = recorder(async (_id, { attempt }) => {
          if (attempt < 3) throw new PacificaError('unavailable', 'the policy service is away');
        });
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', '1');
        const first = await until('a wait', async () =>
          (await backend.repository.queryJobs()).jobs.find((j) => j.failCount),
        );
        expect(first).toMatchObject({ failCount: 1, failReason: 'the policy service is away' });
        expect(first.nextRunAt?.getTime()).toBeGreaterThan(first.failedAt?.getTime() ?? Infinity);
        await until('success', () => jobs.counts.get('cart')?.succeeded === 1, 10_000);
        expect(runs.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
        const [one = 0, two = 0, three = 0] = runs.map(({ from }) => from);
        // back-off is between half of and all of 1 s, then 2 s
        expect(two - one).toBeGreaterThanOrEqual(500);
        expect(three - two).toBeGreaterThanOrEqual(1000);
        expect(jobs.counts.get('cart')).toMatchObject({ started: 3, retried: 2, failed: 0 });
      });

      it('does not try again what will not pass', async () => {
        const { runs, handler } = recorder(async () => {
          throw new PacificaError('integrity', 'the hash of foo.txt does not match');
        });
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', '1');
        const failed = await until(
          'failure',
          async () => (await backend.repository.queryJobs({ state: 'failed' })).jobs[0],
        );
        expect(failed).toMatchObject({
          failCount: 1,
          failReason: 'the hash of foo.txt does not match',
          nextRunAt: null,
        });
        expect(jobs.counts.get('cart')).toMatchObject({ started: 1, failed: 1, retried: 0 });
        expectRuns(runs, 1);
      });

      it('keeps the lock of a handler that works for long', async () => {
        const { runs, handler } = recorder(() => sleep(2500));
        const jobs = await queue({ cart: handler }, { lockLifetimeMs: 1000, pollMs: 100 });
        await queue({ cart: handler }, { lockLifetimeMs: 1000, pollMs: 100 });
        await jobs.add('cart', '1');
        await until('the end', () => runs[0]?.to !== undefined, 10_000);
        expectRuns(runs, 1);
      });

      it('takes over the job of a worker that does not renew its lock', async () => {
        await (await client()).add('cart', '1');
        const longAgo = new Date(Date.now() - 60_000);
        const dead = await backend.store.take('cart', new Date(), longAgo, 'dead');
        expect(dead).toBeDefined();
        const door = gate();
        const { runs, handler } = recorder(() => door.opens);
        await queue({ cart: handler }, { lockLifetimeMs: 1000, pollMs: 300 });
        await until('the second run', () => runs.length >= 1, SOON);
        // the dead one comes back: nothing of it counts
        const zombie = { ...dead, nextRunAt: null } as NonNullable<typeof dead>;
        const id = dead?._id ?? toJobId('');
        expect(await backend.store.renew(id, 'dead', new Date())).toBe(false);
        expect(await backend.store.finish({ ...zombie, failCount: 9 }, 'dead', false)).toMatchObject({ held: false });
        expect(await backend.store.finish(zombie, 'dead', true)).toMatchObject({ held: false });
        await backend.store.release(id, 'dead', new Date());
        const { jobs } = await backend.repository.queryJobs();
        expect(jobs).toMatchObject([{ nextRunAt: null, state: 'running' }]);
        expect(jobs[0]?.failCount).toBeUndefined();
        door.open();
        await until('the end', async () => (await backend.repository.queryJobs({ state: 'completed' })).total === 1);
        expectRuns(runs, 1);
      });

      it('does not forget what was put while a worker ran that died', async () => {
        const front = await client();
        await front.add('cart', '1');
        await backend.store.take('cart', new Date(), new Date(0), 'dead');
        const delay = 3000;
        await front.add('cart', '1', { delay });
        const put = Date.now();
        const { runs, handler } = recorder();
        await queue({ cart: handler }, { lockLifetimeMs: 300, pollMs: 150 });
        await until('both runs', () => runs.length >= 2, SOON);
        expect((runs[0]?.from ?? Infinity) - put).toBeLessThan(delay);
      });

      it('tells the handler when its job is taken away', async () => {
        const { runs, handler } = recorder(untilAborted);
        const jobs = await queue({ cart: handler }, { lockLifetimeMs: 9000 });
        await jobs.add('cart', '1');
        await until('the start', () => runs.length >= 1, SOON);
        await backend.repository.removeJobs({ name: 'cart' });
        // when the lock is to be renewed, long before it would expire
        await until('its leaving', () => runs[0]?.to !== undefined, 8000);
        await until('the count', () => jobs.counts.get('cart')?.lost === 1, SOON);
        expect(await stored()).toBe(0);
      });
    });

    it('does not start a job beside a run of it that has not left yet', async () => {
      const door = gate();
      const { runs, handler } = recorder(() => door.opens);
      const jobs = await queue({ cart: handler }, { lockLifetimeMs: 600 });
      await jobs.add('cart', '1');
      await until('the start', () => runs.length >= 1, SOON);
      await backend.repository.removeJobs({ name: 'cart' });
      await jobs.add('cart', '1');
      await until(
        'the second lock',
        async () => (await backend.repository.queryJobs({ state: 'running' })).total === 1,
      );
      await sleep(1000);
      expectRuns(runs, 1);
      door.open();
      await until('the second run', () => runs.length >= 2, SOON);
      await until(
        'the end',
        async () => (await backend.repository.queryJobs({ state: 'completed' })).total === 1,
        SOON,
      );
      expect(runs[1]?.from).toBeGreaterThanOrEqual(runs[0]?.to ?? Infinity);
    });

    describe('fairness', () => {
      it('leaves to others what it can not start at once', async () => {
        const door = gate();
        const busy = recorder(() => door.opens);
        const first = await queue({ cart: busy.handler }, { concurrency: 2 });
        for (let n = 0; n < 10; n += 1) await first.add('cart', `${n}`);
        await until('two', () => busy.runs.length >= 2, SOON);
        const free = recorder();
        await queue({ cart: free.handler }, { concurrency: 1 });
        await until('the rest', () => free.runs.length >= 8, SOON);
        expectRuns(busy.runs, 2);
        door.open();
      });

      it('does not let a kind wait for another, nor jobs for those that are to wait', async () => {
        const door = gate();
        const huge = recorder(() => door.opens);
        const small = recorder();
        const jobs = await queue({ ingest: huge.handler, cart: small.handler }, { concurrency: 2 });
        for (let n = 0; n < 4; n += 1) {
          await jobs.add('ingest', `${n}`);
          await jobs.add('cart', `later ${n}`, { delay: NEVER });
        }
        for (let n = 0; n < 20; n += 1) await jobs.add('cart', `${n}`);
        await until('all small ones', () => small.runs.length >= 20, SOON);
        expectRuns(huge.runs, 2);
        door.open();
      });

      it('does not let small jobs wait for a huge one of their kind', async () => {
        const door = gate();
        const { runs, handler } = recorder((id) => (id === 'huge' ? door.opens : Promise.resolve()));
        const jobs = await queue({ cart: handler }, { concurrency: 2 });
        await jobs.add('cart', 'huge');
        await until('its start', () => runs.length >= 1, SOON);
        for (let n = 0; n < 20; n += 1) await jobs.add('cart', `${n}`);
        await until('all small ones', () => jobs.counts.get('cart')?.succeeded === 20, 15_000);
        expect(runs.find(({ id }) => id === 'huge')?.to).toBeUndefined();
        door.open();
      });

      it('keeps the limit of each kind, and uses it', async () => {
        const now = { cart: 0, ingest: 0 };
        const most = { cart: 0, ingest: 0 };
        const counting =
          (kind: 'cart' | 'ingest'): JobHandler =>
          async () => {
            now[kind] += 1;
            most[kind] = Math.max(most[kind], now[kind]);
            await sleep(50);
            now[kind] -= 1;
          };
        const jobs = await queue(
          { cart: counting('cart'), ingest: counting('ingest') },
          { concurrency: 3, concurrencyOf: { ingest: 1 } },
        );
        for (let n = 0; n < 12; n += 1) await Promise.all([jobs.add('cart', `${n}`), jobs.add('ingest', `${n}`)]);
        const done = (): boolean =>
          jobs.counts.get('cart')?.succeeded === 12 && jobs.counts.get('ingest')?.succeeded === 12;
        await until('all', done, 10_000);
        expect(most).toEqual({ cart: 3, ingest: 1 });
      });
    });

    describe('for admins', () => {
      /** Rows that are cancelled at once, and always want to be tried again. */
      const rows: JobRows = { cancel: () => Promise.resolve(false), reopen: () => Promise.resolve(true) };

      it('retries work that is about no row, and does not cancel what would come again', async () => {
        let away = true;
        const { runs, handler } = recorder(() =>
          away ? Promise.reject(new PacificaError('unavailable', 'away')) : Promise.resolve(),
        );
        const jobs = await queue({ verify: handler });
        const { admin } = jobs;
        await expect(admin.retry('verify', 'schedule', undefined)).rejects.toMatchObject({ code: 'not-found' });
        await expect(admin.cancel('verify', 'schedule', undefined)).rejects.toMatchObject({ code: 'not-found' });
        await jobs.add('verify', 'schedule', { delay: NEVER });
        await expect(admin.cancel('verify', 'schedule', undefined)).rejects.toThrow('it would come again');
        await admin.retry('verify', 'schedule', undefined);
        await until('a failed run', async () => (await jobs.retries('verify', 'schedule'))?.tries === 1, SOON);
        away = false;
        await admin.retry('verify', 'schedule', undefined);
        await until('its end', async () => (await admin.show('verify', 'schedule')).state === 'completed', SOON);
        expectRuns(runs, 2);
        expect(await admin.show('verify', 'schedule')).toMatchObject({ failures: 0 });
        for (const meddle of ['retry', 'cancel'] as const) {
          const done = admin[meddle]('verify', 'schedule', undefined);
          await expect(done).rejects.toMatchObject({
            code: 'precondition',
            message: expect.stringContaining('has ended') as string,
          });
        }
      });

      it('lists, shows and purges', async () => {
        const { runs, handler } = recorder(async (id, run) => {
          if (id === 'bad') throw new PacificaError('integrity', 'bad hash');
          if (id === 'away') throw new PacificaError('unavailable', 'away');
          if (id === 'long') await untilAborted(id, run);
        });
        const jobs = await queue({ cart: handler });
        for (const id of ['good', 'bad', 'away', 'long']) await jobs.add('cart', id);
        await jobs.add('cart', 'later', { delay: NEVER });
        await until('all runs', () => jobs.counts.get('cart')?.retried === 1 && runs.length >= 4, SOON);
        const { admin } = jobs;
        const failed = await until('states', async () => {
          const { jobs: list } = await admin.list({ kind: 'cart', state: 'failed' });
          return list.length === 2 && (await admin.list({ state: 'completed' })).total === 1 && list;
        });
        expect(failed.map(({ id }) => id).sort()).toEqual(['away', 'bad']);
        expect((await admin.list({ limit: 2 })).jobs).toHaveLength(2);
        expect((await admin.list({ limit: 2 })).total).toBe(5);
        expect(await admin.show('cart', 'bad')).toMatchObject({ failures: 1, error: 'bad hash', nextRunAt: undefined });
        expect((await admin.show('cart', 'away')).nextRunAt).toBeInstanceOf(Date);
        const long = await admin.show('cart', 'long');
        expect(long).toMatchObject({ kind: 'cart', id: 'long', state: 'running', failures: 0, finishedAt: undefined });
        expect(long.worker).toContain(`:${process.pid}:`);
        expect(await admin.show('cart', 'later')).toMatchObject({ state: 'scheduled', startedAt: undefined });
        await expect(admin.show('ingest', 'bad')).rejects.toMatchObject({ code: 'not-found' });
        expect(await admin.purge(new Date(0))).toBe(0);
        expect(await admin.purge(new Date(Date.now() + 1))).toBe(2);
        expect(await stored()).toBe(3);
      });

      it('tries again at once what waits for its next try, and what has failed', async () => {
        let away = true;
        const { runs, handler } = recorder(async (id, { attempt }) => {
          if (id === 'bad' && away) throw new PacificaError('integrity', 'bad hash');
          // long waits come after many tries only
          if (id === 'away' && away) throw new PacificaError('unavailable', `away ${attempt}`);
        });
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', 'bad');
        await jobs.add('cart', 'away');
        // the waits double: the fourth is 4 s at least
        await until('a wait', async () => ((await jobs.retries('cart', 'away'))?.tries ?? 0) >= 4, 30_000);
        const waits = await until('its next time', async () => (await jobs.retries('cart', 'away'))?.next);
        away = false;
        const front = await client();
        await front.admin.retry('cart', 'away', rows);
        await front.admin.retry('cart', 'bad', rows);
        await until('both', () => jobs.counts.get('cart')?.succeeded === 2, SOON);
        const last = runs.findLast(({ id }) => id === 'away');
        expect(last?.from).toBeLessThan(waits.getTime());
        expect(last?.attempt).toBeGreaterThan(4);
        // counted right before it is written
        await until('no tries', async () => (await jobs.retries('cart', 'away')) === undefined, SOON);
        expect(await jobs.retries('cart', 'none')).toBeUndefined();
      });

      it('refuses to try again what runs, and what has ended well', async () => {
        const door = gate();
        const { runs, handler } = recorder(() => door.opens);
        const jobs = await queue({ cart: handler });
        await jobs.add('cart', '1');
        await until('the start', () => runs.length >= 1, SOON);
        await expect(jobs.admin.retry('cart', '1', rows)).rejects.toMatchObject({ code: 'precondition' });
        door.open();
        await until('the end', async () => (await jobs.admin.show('cart', '1')).state === 'completed');
        const done: JobRows = { ...rows, reopen: () => Promise.resolve(false) };
        await expect(jobs.admin.retry('cart', '1', done)).rejects.toMatchObject({ code: 'precondition' });
        expectRuns(runs, 1);
      });

      it('cancels: a run leaves, its job is gone, or runs once more to take back what it did', async () => {
        const cancelled: string[] = [];
        const taken: JobRows = {
          ...rows,
          cancel: async (id, reason) => {
            cancelled.push(`${id}: ${reason}`);
            return id === 'undo';
          },
        };
        const { runs, handler } = recorder(async (id, run) => {
          if (!cancelled.some((one) => one.startsWith(id))) await untilAborted(id, run);
        });
        const jobs = await queue({ cart: handler }, { lockLifetimeMs: 900 });
        await jobs.add('cart', 'long');
        await jobs.add('cart', 'undo');
        await jobs.add('cart', 'later', { delay: NEVER });
        await until('both starts', () => runs.length >= 2, SOON);
        const { admin } = await client();
        await admin.cancel('cart', 'later', taken);
        await admin.cancel('cart', 'long', taken);
        await until('its leaving', () => runs.find(({ id }) => id === 'long')?.to !== undefined, SOON);
        expect((await admin.list({})).jobs.map(({ id }) => id)).toEqual(['undo']);
        await admin.cancel('cart', 'undo', taken);
        expect(cancelled).toEqual(['later', 'long', 'undo'].map((id) => `${id}: cancelled by an admin`));
        const refused: JobRows = { ...rows, cancel: () => Promise.reject(new PacificaError('precondition', 'no')) };
        await expect(admin.cancel('cart', 'undo', refused)).rejects.toMatchObject({ code: 'precondition' });
        expect(await stored()).toBe(1);
      });
    });

    describe('stopping', () => {
      it('hands jobs back at once, and they do not count as tries', async () => {
        const leaving = recorder(untilAborted);
        const first = await queue({ cart: leaving.handler }, { concurrency: 2 });
        for (const id of ['1', '2', '3']) await first.add('cart', id);
        await until('two', () => leaving.runs.length >= 2, SOON);
        const taking = recorder();
        const ready = gate();
        const second = await queue({ cart: () => ready.opens }, { concurrency: 1 });
        await until('the third', () => second.counts.get('cart')?.started === 1, SOON);
        await second.stop();
        await queue({ cart: taking.handler });
        await until('the third again', () => taking.runs.length >= 1, SOON);
        await first.stop();
        const stopped = Date.now();
        await until('the others', () => taking.runs.length >= 3, SOON);
        expect(first.counts.get('cart')).toMatchObject({ started: 2, handedBack: 2, failed: 0, retried: 0 });
        expect(taking.runs.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
        expect(Math.max(...taking.runs.map(({ from }) => from)) - stopped).toBeLessThan(SOON);
        ready.open();
      });

      it('gives back what a handler does not leave, whose end is then void', async () => {
        const door = gate();
        const deaf = recorder(() => door.opens);
        const first = await queue({ cart: deaf.handler });
        await first.add('cart', '1');
        await until('the start', () => deaf.runs.length >= 1, SOON);
        await first.stop();
        const taking = recorder(() => sleep(300));
        await queue({ cart: taking.handler });
        await until('the second run', () => taking.runs.length >= 1, SOON);
        door.open();
        await until('the first end', () => deaf.runs[0]?.to !== undefined, SOON);
        expect((await backend.repository.queryJobs({ state: 'running' })).total).toBe(1);
        await until(
          'the end',
          async () => (await backend.repository.queryJobs({ state: 'completed' })).total === 1,
          SOON,
        );
      });

      it('takes nothing any more, and says so', async () => {
        const { runs, handler } = recorder();
        const jobs = await queue({ cart: handler });
        await expect(jobs.health()).resolves.toBeUndefined();
        await Promise.all([jobs.stop(), jobs.stop()]);
        await expect(jobs.health()).rejects.toThrow(/stopping/);
        await (await client()).add('cart', '1');
        await sleep(100);
        expectRuns(runs, 0);
        expect(await waiting()).toBe(1);
      });
    });
  });
}

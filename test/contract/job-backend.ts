import { Agenda, type AgendaBackend, type Job, type JobNotification, type JobParameters, toJobId } from 'agenda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { backendFor, type QueueBackend } from '../../src/jobs/backend.js';
import type { Database } from '../../src/storage/database/database.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';

/** An empty place for jobs. */
export interface JobPlace {
  readonly database: Database;
  /** what `[jobs] url` says */
  readonly url: string;
  /** false: the server's updates are not atomic between processes (FerretDB), so a job may start twice; effects may not */
  readonly atomic: boolean;
  /** false: a MongoDB server that is in no replica set and can not tell of changes */
  readonly tells: boolean;
  close(): Promise<void>;
}

/** ms that a time may be away from what was asked for: the machine is busy, and polls are every {@link POLL} ms */
const SLACK = 1500;
const POLL = 50;

/**
 * What Agenda demands of a backend. Each test sees the backend as a process of its own does.
 * @param name for the reports
 * @param open makes a place
 */
export function jobBackendContract(name: string, open: () => Promise<JobPlace>): void {
  describe(`${name} as a backend of Agenda`, () => {
    let place: JobPlace;
    const backends: QueueBackend[] = [];
    const agendas: Agenda[] = [];

    beforeAll(async () => {
      place = await open();
    });
    beforeEach(async () => {
      await (await connect()).repository.purgeAllJobs();
    });
    afterEach(async () => {
      for (const agenda of agendas.splice(0)) await agenda.stop();
      for (const backend of backends.splice(0)) await backend.close();
    });
    afterAll(() => place.close());

    /** One more process, as far as the backend can tell. */
    async function connect(): Promise<QueueBackend> {
      const fail = (error: unknown): never => {
        throw new Error('lost the connection', { cause: error });
      };
      const backend = await backendFor({ database: place.database, url: place.url, log: silent, onError: fail });
      await backend.connect();
      backends.push(backend);
      return backend;
    }

    async function agendaOn(backend: QueueBackend, config: object = {}): Promise<Agenda> {
      const adapter: AgendaBackend = {
        name: backend.name,
        repository: backend.repository,
        notificationChannel: backend.channel,
        ownsConnection: false,
        connect: () => Promise.resolve(),
        disconnect: () => Promise.resolve(),
      };
      const agenda = new Agenda({ backend: adapter, processEvery: POLL, ...config });
      await agenda.ready;
      agendas.push(agenda);
      return agenda;
    }

    /** What a MongoDB server can only do in a replica set. */
    const notApplicable = (context: TestContext): void => {
      console.info(`${name}: ${context.task.name}: not applicable`);
      context.skip();
    };

    const inMs = (ms: number): Date => new Date(Date.now() + ms);
    const job = (some: Partial<JobParameters>): JobParameters => ({
      name: 'work',
      priority: 0,
      nextRunAt: inMs(-1000),
      type: 'normal',
      data: {},
      ...some,
    });

    describe('repository', () => {
      let backend: QueueBackend;
      beforeEach(async () => {
        backend = await connect();
      });
      const save = (some: Partial<JobParameters>): Promise<JobParameters> =>
        backend.repository.saveJob(job(some), undefined);
      const load = async (saved: JobParameters): Promise<JobParameters | null> =>
        backend.repository.getJobById(saved._id ?? '');
      const next = (by?: string, expired = inMs(-60_000)): Promise<JobParameters | undefined> =>
        backend.repository.getNextJobToRun(
          'work',
          new Date(),
          expired,
          undefined,
          by ? { lastModifiedBy: by } : undefined,
        );

      it('stores a job whole', async () => {
        const given = {
          priority: 10,
          nextRunAt: inMs(60_123),
          data: { text: 'naïve "quotes"', list: [1, { deep: null }], yes: true },
          repeatInterval: '5 minutes',
          repeatTimezone: 'Europe/Berlin',
          startDate: inMs(1001),
          endDate: inMs(99_999),
          skipDays: [0, 6],
          disabled: true,
        };
        const saved = await save(given);
        expect(saved._id).toBeDefined();
        expect(saved).toMatchObject(given);
        expect(await load(saved)).toMatchObject({ ...given, name: 'work', type: 'normal' });
      });

      it('updates a job that has an id, and leaves others alone', async () => {
        const [one, other] = [await save({ data: { n: 1 } }), await save({ data: { n: 2 } })];
        const updated = await backend.repository.saveJob({ ...one, priority: 20, data: { n: 3 } }, undefined);
        expect(updated).toMatchObject({ _id: one._id, priority: 20, data: { n: 3 } });
        expect(await load(other)).toMatchObject({ priority: 0, data: { n: 2 } });
      });

      it('takes the save of a job that was removed', async () => {
        const saved = await save({});
        await backend.repository.removeJobs({ id: saved._id });
        expect(await backend.repository.saveJob({ ...saved, priority: 7 }, undefined)).toMatchObject({ priority: 7 });
        expect(await load(saved)).toBeNull();
      });

      it('keeps one job of type single, and its planned time when it is asked for at once', async () => {
        const planned = inMs(60_000);
        const one = await save({ type: 'single', nextRunAt: planned, data: { n: 1 } });
        const two = await save({ type: 'single', nextRunAt: inMs(-5), data: { n: 2 }, priority: 3 });
        expect(two).toMatchObject({ _id: one._id, data: { n: 2 }, priority: 3, nextRunAt: planned });
        const later = inMs(120_000);
        expect(await save({ type: 'single', nextRunAt: later })).toMatchObject({ _id: one._id, nextRunAt: later });
        expect((await backend.repository.queryJobs({ name: 'work' })).total).toBe(1);
      });

      it('keeps one job for each unique key', async () => {
        const unique = { 'data.id': 7 };
        const one = await save({ unique, data: { id: 7, n: 1 } });
        const two = await save({ unique, data: { id: 7, n: 2 } });
        expect(two).toMatchObject({ _id: one._id, data: { id: 7, n: 2 } });
        const three = await save({ unique, uniqueOpts: { insertOnly: true }, data: { id: 7, n: 3 } });
        expect(three).toMatchObject({ _id: one._id, data: { id: 7, n: 2 } });
        const other = await save({ unique: { 'data.id': 8 }, data: { id: 8 } });
        expect(other._id).not.toBe(one._id);
        const elsewhere = await save({ name: 'other', unique, data: { id: 7 } });
        expect(elsewhere._id).not.toBe(one._id);
      });

      it('keeps one job for a unique key that several processes save at the same moment', async (context) => {
        if (!place.tells) return notApplicable(context);
        const repositories = [backend, await connect(), await connect()].map(({ repository }) => repository);
        const unique = { 'data.id': 7 };
        await Promise.all(
          repositories.flatMap((repository) =>
            Array.from({ length: 10 }, (_, n) => repository.saveJob(job({ unique, data: { id: 7, n } }), undefined)),
          ),
        );
        expect((await backend.repository.queryJobs({ name: 'work' })).total).toBe(1);
      });

      it('finds jobs by name, id, data and text', async () => {
        const a = await save({ name: 'job-a', data: { kind: 'alpha', at: { x: 1, y: 2 } } });
        const b = await save({ name: 'job-b', data: { kind: 'beta', at: { x: 1, y: 3 } } });
        const c = await save({ name: 'other', data: { kind: 'alpha' } });
        const found = async (options: object): Promise<unknown[]> => {
          const { jobs, total } = await backend.repository.queryJobs(options);
          expect(total).toBe(jobs.length);
          return jobs.map(({ _id }) => _id).sort();
        };
        const ids = (...jobs: JobParameters[]): unknown[] => jobs.map(({ _id }) => _id).sort();
        expect(await found({})).toEqual(ids(a, b, c));
        expect(await found({ name: 'job-a' })).toEqual(ids(a));
        expect(await found({ names: ['job-a', 'other'] })).toEqual(ids(a, c));
        expect(await found({ id: b._id })).toEqual(ids(b));
        expect(await found({ ids: [b._id, c._id] })).toEqual(ids(b, c));
        expect(await found({ search: 'JOB-' })).toEqual(ids(a, b));
        expect(await found({ data: { kind: 'alpha' } })).toEqual(ids(a, c));
        expect(await found({ data: { at: { x: 1 } } })).toEqual(ids(a, b));
        expect(await found({ name: 'no-such' })).toEqual([]);
      });

      it('lists in pages, in order, with the total', async () => {
        for (const n of [3, 1, 2]) await save({ priority: n, nextRunAt: inMs(n * 1000) });
        const page = await backend.repository.queryJobs({ sort: { nextRunAt: 'asc' }, skip: 1, limit: 1 });
        expect(page.total).toBe(3);
        expect(page.jobs.map(({ priority }) => priority)).toEqual([2]);
        const byPriority = await backend.repository.queryJobs({ sort: { priority: 'desc' } });
        expect(byPriority.jobs.map(({ priority }) => priority)).toEqual([3, 2, 1]);
      });

      it('tells the state of each job, and counts them', async () => {
        const state = async (saved: JobParameters, change: Partial<JobParameters>): Promise<void> =>
          backend.repository.saveJobState({ ...saved, ...change }, undefined);
        const finished = { nextRunAt: null, lastRunAt: inMs(-50), lastFinishedAt: inMs(-20) };
        await state(await save({ data: { is: 'running' } }), { lockedAt: new Date() });
        await state(await save({ data: { is: 'completed' } }), finished);
        await state(await save({ data: { is: 'failed' } }), { ...finished, failedAt: finished.lastFinishedAt });
        await save({ data: { is: 'queued' } });
        await save({ data: { is: 'scheduled' }, nextRunAt: inMs(60_000) });
        await save({ data: { is: 'repeating' }, nextRunAt: inMs(60_000), repeatInterval: 5000 });
        for (const one of ['running', 'completed', 'failed', 'queued', 'scheduled', 'repeating'] as const) {
          const { jobs, total } = await backend.repository.queryJobs({ state: one });
          expect(jobs.map(({ data, state: told }) => ({ data, told }))).toEqual([{ data: { is: one }, told: one }]);
          expect(total).toBe(1);
        }
        const one = { running: 1, scheduled: 1, queued: 1, completed: 1, failed: 1, repeating: 1 };
        expect(await backend.repository.getJobsOverview()).toEqual([{ name: 'work', total: 6, ...one, paused: 0 }]);
        expect(await backend.repository.getQueueSize()).toBe(2);
      });

      it('names the kinds of jobs', async () => {
        expect(await backend.repository.getDistinctJobNames()).toEqual([]);
        for (const one of ['b', 'a', 'b']) await save({ name: one });
        expect((await backend.repository.getDistinctJobNames()).sort()).toEqual(['a', 'b']);
      });

      it('removes what is asked for, and nothing when nothing is', async () => {
        const saved: JobParameters[] = [];
        for (const one of ['a', 'a', 'b', 'c', 'd']) saved.push(await save({ name: one, data: { of: one } }));
        const remove = backend.repository.removeJobs.bind(backend.repository);
        expect(await remove({})).toBe(0);
        expect(await remove({ name: 'no-such' })).toBe(0);
        expect(await remove({ id: saved[0]?._id })).toBe(1);
        expect(await remove({ notNames: ['b', 'c', 'd'] })).toBe(1);
        expect(await remove({ data: { of: 'b' } })).toBe(1);
        expect(await remove({ names: ['c', 'no-such'] })).toBe(1);
        expect(await remove({ ids: [toJobId(saved[4]?._id ?? '')] })).toBe(1);
        await save({});
        expect(await backend.repository.purgeAllJobs()).toBe(1);
      });

      it('disables and enables', async () => {
        await save({});
        await save({ name: 'other' });
        expect(await backend.repository.disableJobs({})).toBe(0);
        expect(await backend.repository.disableJobs({ name: 'work' })).toBe(1);
        expect(await next()).toBeUndefined();
        expect((await backend.repository.queryJobs({ includeDisabled: false })).total).toBe(1);
        expect((await backend.repository.queryJobs({ state: 'paused' })).total).toBe(1);
        expect((await backend.repository.getJobsOverview()).find(({ name: one }) => one === 'work')?.paused).toBe(1);
        expect(await backend.repository.enableJobs({ name: 'work' })).toBe(1);
        expect(await next()).toMatchObject({ name: 'work' });
      });

      it('locks a job once, and unlocks it', async () => {
        const saved = await save({});
        expect((await backend.repository.lockJob(saved, undefined))?.lockedAt).toBeInstanceOf(Date);
        expect(await backend.repository.lockJob(saved, undefined)).toBeUndefined();
        await backend.repository.unlockJob(saved);
        expect((await load(saved))?.lockedAt ?? undefined).toBeUndefined();
        const locked = await backend.repository.lockJob(saved, undefined);
        await backend.repository.saveJobState({ ...saved, ...locked, nextRunAt: null }, undefined);
        await backend.repository.unlockJob(saved);
        expect((await load(saved))?.lockedAt).toBeInstanceOf(Date);
        await backend.repository.unlockJobs([saved._id ?? '']);
        expect((await load(saved))?.lockedAt ?? undefined).toBeUndefined();
      });

      it('hands out what is due first, then what matters most, and never before its time', async () => {
        const due = inMs(-1000);
        await save({ nextRunAt: inMs(60_000), priority: 99, data: { n: 'later' } });
        await save({ nextRunAt: due, priority: 1, data: { n: 'third' } });
        await save({ nextRunAt: due, priority: 5, data: { n: 'second' } });
        await save({ nextRunAt: inMs(-2000), priority: 0, data: { n: 'first' } });
        for (const n of ['first', 'second', 'third']) {
          expect(await next('me')).toMatchObject({ data: { n }, lastModifiedBy: 'me' });
        }
        expect(await next()).toBeUndefined();
      });

      it('hands out a job again whose lock is too old', async () => {
        const saved = await save({});
        await next('dead');
        expect(await next('heir')).toBeUndefined();
        const again = await next('heir', new Date());
        expect(again).toMatchObject({ _id: saved._id, lastModifiedBy: 'heir' });
      });

      it('saves the state of a run, and refuses it for a job that is gone', async () => {
        const saved = await save({});
        const state = {
          lockedAt: inMs(-1),
          nextRunAt: null,
          lastRunAt: inMs(-3),
          lastFinishedAt: inMs(-2),
          failedAt: inMs(-2),
          failCount: 3,
          failReason: 'no such luck',
          progress: 62.5,
        };
        await backend.repository.saveJobState({ ...saved, ...state }, undefined);
        expect(await load(saved)).toMatchObject(state);
        await backend.repository.removeJobs({ id: saved._id });
        await expect(backend.repository.saveJobState(saved, undefined)).rejects.toThrow(/not|exist/);
      });
    });

    describe('processing', () => {
      let agenda: Agenda;
      beforeEach(async () => {
        agenda = await agendaOn(await connect());
      });

      it('runs a job now, with its data, and tells of it', async () => {
        const events: string[] = [];
        agenda.on('start:work', () => events.push('start'));
        agenda.on('success:work', () => events.push('success'));
        agenda.on('complete:work', () => events.push('complete'));
        const seen: unknown[] = [];
        agenda.define('work', async (run: Job) => void seen.push(run.attrs.data));
        await agenda.start();
        await agenda.now('work', { n: 1 });
        await until('the job', () => events.includes('complete'));
        expect(seen).toEqual([{ n: 1 }]);
        expect(events).toEqual(['start', 'success', 'complete']);
        const { jobs } = await agenda.queryJobs({ name: 'work' });
        expect(jobs).toMatchObject([{ state: 'completed', nextRunAt: null }]);
      });

      it('runs a job at its time, and one at every interval', async () => {
        const runs = { once: [] as number[], often: 0 };
        agenda.define('once', async () => void runs.once.push(Date.now()));
        agenda.define('often', async () => void (runs.often += 1));
        await agenda.start();
        const at = inMs(400);
        await agenda.schedule(at, 'once', {});
        await agenda.every(200, 'often');
        await until('three runs', () => runs.often >= 3 && runs.once.length > 0);
        expect(runs.once).toHaveLength(1);
        expect(runs.once[0]).toBeGreaterThanOrEqual(at.getTime());
        expect(runs.once[0]).toBeLessThan(at.getTime() + SLACK);
        expect((await agenda.queryJobs({ name: 'often' })).total).toBe(1);
      });

      it('does not run what is cancelled or disabled', async () => {
        const seen: unknown[] = [];
        agenda.define('work', async (run: Job) => void seen.push(run.attrs.data));
        await agenda.now('work', { n: 'cancelled' });
        expect(await agenda.cancel({ data: { n: 'cancelled' } })).toBe(1);
        await agenda.now('work', { n: 'disabled' });
        expect(await agenda.disable({ data: { n: 'disabled' } })).toBe(1);
        await agenda.now('work', { n: 'left' });
        await agenda.start();
        await until('the one that is left', () => seen.length > 0);
        expect(seen).toEqual([{ n: 'left' }]);
        expect((await agenda.queryJobs({ data: { n: 'disabled' } })).jobs).toMatchObject([{ state: 'queued' }]);
      });

      it('keeps the lock of a long job that is touched, with its progress', async () => {
        let runs = 0;
        agenda.define(
          'work',
          async (run: Job) => {
            runs += 1;
            for (let step = 1; step <= 10; step += 1) {
              await new Promise((resolve) => setTimeout(resolve, 100));
              await run.touch(step * 10);
            }
          },
          { lockLifetime: 400 },
        );
        await agenda.start();
        await agenda.now('work', {});
        await until('some progress', async () => {
          const { jobs } = await agenda.queryJobs({ state: 'running' });
          return (jobs[0]?.progress ?? 0) >= 50;
        });
        await until('the end', async () => (await agenda.queryJobs({ state: 'completed' })).total === 1);
        expect(runs).toBe(1);
      });

      it('gives back what it locked and did not start', async () => {
        let leave: (() => void) | undefined;
        agenda.define('work', () => new Promise<void>((resolve) => (leave = resolve)), { concurrency: 1 });
        for (const n of [1, 2, 3]) await agenda.now('work', { n });
        await agenda.start();
        await until('all locked', async () => (await agenda.queryJobs({ state: 'running' })).total === 3);
        await until('one begun', () => leave !== undefined);
        await agenda.stop();
        expect((await agenda.queryJobs({ state: 'queued' })).total).toBe(2);
        leave?.();
      });
    });

    describe('concurrency', () => {
      it.each([
        { limit: 'of the kind', config: {}, options: { concurrency: 2 } },
        { limit: 'of the process', config: { maxConcurrency: 2 }, options: { concurrency: 10 } },
      ])('keeps the limit $limit, and uses it', async ({ config, options }) => {
        const agenda = await agendaOn(await connect(), config);
        let [running, most, done] = [0, 0, 0];
        const work = async (): Promise<void> => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setTimeout(resolve, 50));
          running -= 1;
          done += 1;
        };
        agenda.define('work', work, options);
        for (let n = 0; n < 8; n += 1) await agenda.now('work', { n });
        await agenda.start();
        await until('all jobs', () => done === 8);
        expect(most).toBe(2);
      });
    });

    describe('retry', () => {
      it('tries again after the waits that it is told, then gives up', async () => {
        const agenda = await agendaOn(await connect());
        const starts: number[] = [];
        let exhausted = false;
        agenda.on('retry exhausted:work', () => (exhausted = true));
        agenda.define(
          'work',
          async () => {
            starts.push(Date.now());
            throw new Error('not yet');
          },
          { backoff: ({ attempt }) => (attempt <= 2 ? attempt * 200 : null) },
        );
        await agenda.start();
        await agenda.now('work', {});
        await until('the end of it', () => exhausted);
        const [first = 0, second = 0, third = 0] = starts;
        expect(starts).toHaveLength(3);
        expect(second - first).toBeGreaterThanOrEqual(200);
        expect(third - second).toBeGreaterThanOrEqual(400);
        const failed = await until('its state', async () => (await agenda.queryJobs({ state: 'failed' })).jobs[0]);
        expect(failed).toMatchObject({ failCount: 3, failReason: 'not yet', nextRunAt: null });
      });

      it('forgets failures when it succeeds', async () => {
        const agenda = await agendaOn(await connect());
        let runs = 0;
        agenda.define(
          'work',
          async () => {
            runs += 1;
            if (runs === 1) throw new Error('not yet');
          },
          { backoff: () => 50 },
        );
        await agenda.start();
        await agenda.now('work', {});
        await until('success', async () => (await agenda.queryJobs({ state: 'completed' })).total === 1);
        expect((await agenda.queryJobs({})).jobs[0]?.failCount ?? 0).toBe(0);
      });
    });

    describe('debounce', () => {
      it('waits for quiet, and runs once with the last data', async () => {
        const agenda = await agendaOn(await connect());
        const seen: { data: unknown; at: number }[] = [];
        agenda.define('work', async (run: Job) => void seen.push({ data: run.attrs.data, at: Date.now() }));
        await agenda.start();
        let last = 0;
        for (let n = 1; n <= 4; n += 1) {
          last = Date.now();
          await agenda.create('work', { id: 1, n }).unique({ 'data.id': 1 }).debounce(400).save();
        }
        await until('the run', () => seen.length > 0);
        expect(seen).toMatchObject([{ data: { id: 1, n: 4 } }]);
        expect(seen[0]?.at).toBeGreaterThanOrEqual(last + 400);
        expect((await agenda.queryJobs({})).total).toBe(1);
      });

      it('leads: keeps the first time, takes the last data', async () => {
        const agenda = await agendaOn(await connect());
        const put = (n: number): Promise<Job> =>
          agenda.create('work', { id: 1, n }).unique({ 'data.id': 1 }).debounce(60_000, { strategy: 'leading' }).save();
        const first = await put(1);
        const second = await put(2);
        expect(second.attrs.nextRunAt).toEqual(first.attrs.nextRunAt);
        expect(first.attrs.nextRunAt?.getTime()).toBeLessThan(Date.now() + SLACK);
        expect(second.attrs).toMatchObject({ _id: first.attrs._id, data: { n: 2 } });
      });

      it('does not wait longer than maxWait', async () => {
        const agenda = await agendaOn(await connect());
        const put = (): Promise<Job> =>
          agenda.create('work', { id: 1 }).unique({ 'data.id': 1 }).debounce(60_000, { maxWait: 200 }).save();
        const { debounceStartedAt } = (await put()).attrs;
        expect(debounceStartedAt).toBeInstanceOf(Date);
        await until('maxWait', () => Date.now() >= (debounceStartedAt?.getTime() ?? 0) + 200);
        const late = await put();
        expect(late.attrs.nextRunAt?.getTime()).toBeLessThanOrEqual(Date.now());
        expect(late.attrs.debounceStartedAt ?? undefined).toBeUndefined();
      });
    });

    describe('removeOnComplete', () => {
      it('removes what succeeded and is over, nothing else', async () => {
        const agenda = await agendaOn(await connect(), { removeOnComplete: true });
        const completed: string[] = [];
        agenda.on('complete', (run) => completed.push(run.attrs.name));
        agenda.define('good', async () => undefined);
        agenda.define('kept', async () => undefined, { removeOnComplete: false });
        agenda.define('bad', async () => {
          throw new Error('bad');
        });
        agenda.define('often', async () => undefined);
        await agenda.start();
        for (const one of ['good', 'kept', 'bad']) await agenda.now(one, {});
        await agenda.every('1 hour', 'often');
        await until('all', () => new Set(completed).size === 4);
        await until('its removal', async () => (await agenda.queryJobs({ name: 'good' })).total === 0);
        expect((await agenda.queryJobs({})).jobs.map(({ name: one }) => one).sort()).toEqual(['bad', 'kept', 'often']);
      });
    });

    describe('notification', () => {
      it('reaches other processes, whole, until they do not listen any more', async (context) => {
        const [here, there] = [await connect(), await connect()];
        if (!place.tells) return notApplicable(context);
        if (here.channel === undefined || there.channel === undefined) throw new Error('there is no channel');
        expect(there.channel.state).toBe('disconnected');
        const states: string[] = [];
        there.channel.on('stateChange', (state) => states.push(state));
        await here.channel.connect();
        await there.channel.connect();
        expect(there.channel.state).toBe('connected');
        const heard: JobNotification[] = [];
        const stop = there.channel.subscribe((one) => void heard.push(one));
        const saved = await here.repository.saveJob(job({ priority: 10 }), undefined);
        const about = { jobId: toJobId(saved._id ?? ''), jobName: 'work', nextRunAt: saved.nextRunAt, priority: 10 };
        await here.channel.publish({ ...about, timestamp: new Date(), source: 'here' });
        await until('the call', () => heard.length > 0);
        expect(heard[0]).toMatchObject(about);
        stop();
        await there.channel.disconnect();
        expect(states).toEqual(expect.arrayContaining(['connected', 'disconnected']));
        await here.repository.saveJob(job({}), undefined);
        await here.channel.publish({ ...about, timestamp: new Date() });
        expect(heard).toHaveLength(1);
      });

      it('starts a job that another process puts long before the next poll', async (context) => {
        const [here, there] = [await connect(), await connect()];
        if (!place.tells) return notApplicable(context);
        if (here.channel === undefined) throw new Error('there is no channel');
        const worker = await agendaOn(there, { processEvery: 60_000 });
        let started = 0;
        worker.define('work', async () => void (started = Date.now()));
        await worker.start();
        await here.channel.connect();
        const client = await agendaOn(here);
        const put = Date.now();
        await client.now('work', {});
        await until('the start', () => started > 0, 10_000);
        expect(started - put).toBeLessThan(5000);
      });
    });
  });
}

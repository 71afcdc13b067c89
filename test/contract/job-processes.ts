import { QueryTypes } from 'sequelize';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Jobs, openJobQueue } from '../../src/jobs/jobs.js';
import { startWorker, type JobWorker } from '../support/job-workers.js';
import { WORK, type WorkerEvent, type WorkerOptions } from '../support/job-worker-options.js';
import { fastest } from '../support/fastest.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';
import type { JobPlace } from './job-backend.js';

/** ms in which something must happen that needs no poll and no expiry; the machine may be busy */
const SOON = 10_000;

/** What several processes do that share one place of jobs: real ones, killed for real. */
export function jobProcessesContract(name: string, open: () => Promise<JobPlace>): void {
  describe(`${name} with several processes`, () => {
    let place: JobPlace;
    let front: Jobs;
    const workers: JobWorker[] = [];

    beforeAll(async () => {
      place = await open();
      await place.database.sequelize.query(WORK);
    });
    beforeEach(async () => {
      await place.database.sequelize.query('DELETE FROM test_work');
      front = await openJobQueue({
        ...place,
        handlers: new Map(),
        lockLifetimeMs: 1000,
        concurrency: 1,
        work: false,
        log: silent,
      });
    });
    afterEach(async () => {
      await Promise.all(workers.splice(0).map((worker) => worker.end('SIGKILL')));
      await front.stop();
    });
    afterAll(() => place.close());

    async function work(options: Partial<WorkerOptions> = {}): Promise<JobWorker> {
      const worker = await startWorker({
        database: place.database.url,
        url: place.url,
        lockLifetimeMs: 2000,
        pollMs: 500,
        concurrency: 4,
        workMs: 0,
        ...options,
      });
      workers.push(worker);
      return worker;
    }

    async function put(...ids: string[]): Promise<void> {
      for (const id of ids) {
        const sql = 'INSERT INTO test_work (id, starts, effects) VALUES ($id, 0, 0)';
        await place.database.writeStatement(sql, { id });
        await front.add('cart', id);
      }
    }

    const rows = (): Promise<{ id: string; starts: number; effects: number }[]> =>
      place.database.sequelize.query('SELECT id, starts, effects FROM test_work', { type: QueryTypes.SELECT });
    const events = (worker: JobWorker, event: WorkerEvent['event']): WorkerEvent[] =>
      worker.events.filter((one) => one.event === event);
    const finished = async (): Promise<boolean> => (await rows()).every(({ effects }) => effects > 0);

    it('runs each of some hundred jobs once', async () => {
      const [one, other] = await Promise.all([work({ workMs: 2 }), work({ workMs: 2 })]);
      // FerretDB reads all of them for each one that it hands out
      const ids = Array.from({ length: place.atomic ? 300 : 100 }, (_, n) => `${n}`);
      await put(...ids);
      await until('all of them', finished, 60_000);
      const wrong = (await rows()).filter(({ starts, effects }) => effects !== 1 || (place.atomic && starts !== 1));
      expect(wrong).toEqual([]);
      // neither did nothing
      expect(events(one, 'done').length).toBeGreaterThan(0);
      expect(events(other, 'done').length).toBeGreaterThan(0);
    });

    it('starts a job that another process puts, long before a poll', async () => {
      const worker = await work({ pollMs: 600_000, lockLifetimeMs: 600_000 });
      for (const id of ['1', '2', '3']) {
        await put(id);
        await until('the start', () => events(worker, 'start').some((one) => one.id === id), SOON);
      }
    });

    it('runs the job of a killed worker again within two lifetimes of its lock', async () => {
      const lifetime = 2000;
      const takeOver = async (): Promise<number> => {
        await place.database.sequelize.query('DELETE FROM test_work');
        const dying = await work({ workMs: 600_000, lockLifetimeMs: lifetime });
        await put('1');
        await until('the start', () => events(dying, 'start').length === 1, SOON);
        const heir = await work({ pollMs: lifetime / 2, lockLifetimeMs: lifetime });
        const killed = Date.now();
        await dying.end('SIGKILL');
        const again = await until('the second start', () => events(heir, 'start')[0], SOON);
        await until('the effect', finished, SOON);
        expect(await rows()).toMatchObject([{ id: '1', starts: 2, effects: 1 }]);
        await heir.end('SIGTERM');
        return again.at - killed;
      };
      expect(await fastest(takeOver, 2 * lifetime)).toBeLessThan(2 * lifetime);
    });

    it.each([
      { what: 'leave', deaf: false },
      { what: 'hang', deaf: true },
    ])(
      'hands jobs to another process within a second of SIGTERM, though their handlers $what',
      async ({ what, deaf }) => {
        const held = { workMs: 600_000, lockLifetimeMs: 600_000, pollMs: 600_000 };
        const handOver = async (): Promise<number> => {
          await place.database.sequelize.query('DELETE FROM test_work');
          const leaving = await work({ ...held, deaf });
          await put('1', '2', '3');
          await until('the starts', () => events(leaving, 'start').length === 3, SOON);
          const taking = await work({ ...held, workMs: 0 });
          const told = Date.now();
          expect(await leaving.end('SIGTERM')).toBe(0);
          const last = await until('all starts', () => events(taking, 'start')[2], SOON);
          await until('the effects', finished, SOON);
          await taking.end('SIGTERM');
          return last.at - told;
        };
        const ms = await fastest(handOver, 1000);
        console.info(`${name}: jobs whose handlers ${what} start elsewhere ${ms} ms after SIGTERM`);
        expect(ms).toBeLessThan(1000);
      },
    );

    it('voids what a worker writes that was taken for dead and comes back', async () => {
      const slow = await work({ workMs: 600, lockLifetimeMs: 1000 });
      await put('1');
      await until('the start', () => events(slow, 'start').length === 1, SOON);
      slow.send('SIGSTOP');
      const heir = await work({ workMs: 1200, lockLifetimeMs: 1000, pollMs: 300 });
      await until('the second start', () => events(heir, 'start').length === 1, SOON);
      slow.send('SIGCONT');
      await until('the effect', finished, SOON);
      // what a worker tells comes after what it wrote
      await until('the word of the heir', () => events(heir, 'done').length === 1, SOON);
      expect(events(slow, 'done')).toHaveLength(0);
      expect(await rows()).toMatchObject([{ starts: 2, effects: 1 }]);
      // and it works on, with all its slots
      const ids = ['2', '3', '4', '5', '6', '7', '8', '9'];
      await heir.end('SIGTERM');
      await put(...ids);
      await until('the rest', finished, 30_000);
      await until('the word of all', () => events(slow, 'done').length === ids.length, SOON);
    });
  });
}

import { setTimeout as sleep } from 'node:timers/promises';
import { QueryTypes } from 'sequelize';
import { describe, expect, it } from 'vitest';
import { openJobQueue } from '../../src/jobs/jobs.js';
import { type JobWorker, startWorker } from '../support/job-workers.js';
import { WORK } from '../support/job-worker-options.js';
import { silent } from '../support/log.js';
import { allUnfinished } from '../support/unfinished.js';
import type { JobPlace } from './job-backend.js';

const WORKERS = 4;
const SLOTS = 4;
/** jobs that are done between two kills: by work and not by time, so that a slow machine does more than start processes */
const KILL_EVERY = 40;
/** jobs that wait at a time: FerretDB reads all of them for each one that it hands out */
const WAVE = 60;
/** ms after which a queue that does nothing stands still */
const STANDSTILL = 60_000;

/** Worker processes are killed with -9 at random and started again, while there is work. */
export function jobChurnContract(name: string, open: () => Promise<JobPlace>, jobCount: number): void {
  describe(`${name} with workers that are killed again and again`, () => {
    it(`does each of ${jobCount} jobs, and its effect once`, async () => {
      const place = await open();
      await place.database.sequelize.query(WORK);
      const ids = Array.from({ length: jobCount }, (_, n) => `${n}`);
      const values = ids.map((id) => `('${id}', 0, 0)`).join(', ');
      await place.database.sequelize.query(`INSERT INTO test_work (id, starts, effects) VALUES ${values}`);
      const jobs = await openJobQueue({
        ...place,
        handlers: new Map(),
        lockLifetimeMs: 2000,
        concurrency: 1,
        work: false,
        log: silent,
      });
      const start = (): Promise<JobWorker> =>
        startWorker({
          database: place.database.url,
          url: place.url,
          lockLifetimeMs: 2000,
          pollMs: 500,
          concurrency: SLOTS,
          workMs: 150,
        });
      const rows = (): Promise<{ starts: number; effects: number }[]> =>
        place.database.sequelize.query('SELECT starts, effects FROM test_work', { type: QueryTypes.SELECT });

      const began = Date.now();
      const workers = await Promise.all(Array.from({ length: WORKERS }, start));
      /** those that are being killed and started again */
      const restarts = new Map<number, Promise<void>>();
      let kills = 0;
      const restart = async (index: number): Promise<void> => {
        expect(await workers[index]?.end('SIGKILL')).toBe('SIGKILL');
        workers[index] = await start();
        restarts.delete(index);
      };
      const nextKill = (): number => (kills + Math.random()) * KILL_EVERY;
      try {
        let [put, killAt] = [0, nextKill()];
        let last = { done: 0, at: Date.now() };
        while (last.done < jobCount) {
          const done = (await rows()).filter(({ effects }) => effects > 0).length;
          if (done > last.done) last = { done, at: Date.now() };
          if (Date.now() - last.at > STANDSTILL) {
            const { jobs: some } = await jobs.admin.list({ limit: 5 });
            throw new Error(`nothing was done for ${STANDSTILL} ms after ${done} jobs: ${JSON.stringify(some)}`);
          }
          if (put < jobCount && put - done < WAVE / 2) {
            await jobs.ensure('cart', ids.slice(put, put + WAVE), allUnfinished);
            put += WAVE;
          }
          const victim = Math.floor(Math.random() * WORKERS);
          if (done >= killAt && !restarts.has(victim)) {
            restarts.set(victim, restart(victim));
            kills += 1;
            killAt = nextKill();
          }
          await sleep(100);
        }
        await Promise.all(restarts.values());
      } finally {
        await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
        await jobs.stop();
      }
      const all = await rows();
      const again = all.reduce((sum, { starts }) => sum + starts, 0) - jobCount;
      const seconds = ((Date.now() - began) / 1000).toFixed(0);
      console.info(`${name}: ${jobCount} jobs, ${kills} kills, ${again} started again, ${seconds} s`);
      expect(kills).toBeGreaterThan(jobCount / KILL_EVERY / 2);
      expect(all.filter(({ effects }) => effects !== 1)).toEqual([]);
      // only what was under way is done again
      if (place.atomic) expect(again).toBeLessThanOrEqual(kills * SLOTS);
      await place.close();
    });
  });
}

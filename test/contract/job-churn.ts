import { setTimeout as sleep } from 'node:timers/promises';
import { QueryTypes } from 'sequelize';
import { describe, expect, it } from 'vitest';
import { openJobQueue } from '../../src/jobs/jobs.js';
import { type JobWorker, startWorker } from '../support/job-workers.js';
import { WORK } from '../support/job-worker-options.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';
import type { JobPlace } from './job-backend.js';

const WORKERS = 4;
const JOBS = 2000;
const SLOTS = 4;
/** jobs that wait at a time: FerretDB reads all of them for each one that it hands out */
const WAVE = 100;

/** Worker processes are killed with -9 at random and started again, while there is work. */
export function jobChurnContract(name: string, open: () => Promise<JobPlace>): void {
  describe(`${name} with workers that are killed again and again`, () => {
    it(`does each of ${JOBS} jobs, and its effect once`, async () => {
      const place = await open();
      await place.database.sequelize.query(WORK);
      const ids = Array.from({ length: JOBS }, (_, n) => `${n}`);
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
      const left = async (): Promise<number> => (await rows()).filter(({ effects }) => effects === 0).length;
      const feed = async (): Promise<void> => {
        for (let put = 0; put < JOBS; put += WAVE) {
          await until('room', async () => (await left()) < JOBS - put + WAVE, 600_000);
          await jobs.ensure('cart', ids.slice(put, put + WAVE));
        }
      };
      const finished = async (): Promise<boolean> => (await left()) === 0;

      const began = Date.now();
      const workers = await Promise.all(Array.from({ length: WORKERS }, start));
      let kills = 0;
      const churn = async (place: number): Promise<void> => {
        while (!(await finished())) {
          await sleep(1000 + Math.random() * 4000);
          if (await finished()) return;
          expect(await workers[place]?.end('SIGKILL')).toBe('SIGKILL');
          kills += 1;
          workers[place] = await start();
        }
      };
      try {
        await Promise.all([feed(), ...[...workers.keys()].map(churn)]);
        await until('the end', finished, 120_000);
      } finally {
        await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
        await jobs.stop();
      }
      const all = await rows();
      const again = all.reduce((sum, { starts }) => sum + starts, 0) - JOBS;
      const seconds = ((Date.now() - began) / 1000).toFixed(0);
      console.info(`${name}: ${JOBS} jobs, ${kills} kills, ${again} started again, ${seconds} s`);
      expect(kills).toBeGreaterThan(0);
      expect(all.filter(({ effects }) => effects !== 1)).toEqual([]);
      // only what was under way is done again
      if (place.atomic) expect(again).toBeLessThanOrEqual(kills * SLOTS);
      await place.close();
    });
  });
}

import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { QueryTypes } from 'sequelize';
import { describe, expect, it } from 'vitest';
import { type Jobs, openJobQueue } from '../../src/jobs/jobs.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { JobRun } from '../../src/lib/job-queue.js';
import { WORK } from '../support/job-worker-options.js';
import { until } from '../support/until.js';
import { allUnfinished } from '../support/unfinished.js';
import type { JobPlace } from './job-backend.js';

/** What the log says while the server is away. */
const FAULTS = [
  // a connection that is busy when it breaks tells so by what it was doing; the one that is listened on is always idle
  ['lost a connection of the job queue', 'lost the connection that tells of new jobs'],
  ['can not look for jobs that are due'],
  ['the job queue has a problem'],
];

/** A server that can be taken away and brought back. */
export interface OutageServer {
  down(): Promise<void>;
  up(): Promise<void>;
}

/** The server of the jobs goes away in the middle of work, and comes back after `seconds`. */
export function jobOutageContract(name: string, server: OutageServer, open: () => Promise<JobPlace>, seconds: number) {
  describe(`${name} goes away for ${seconds} s`, () => {
    it('loses nothing and does nothing twice', { timeout: seconds * 1000 + 120_000 }, async () => {
      const place = await open();
      const { database } = place;
      await database.sequelize.query(WORK);
      const ids = Array.from({ length: 40 }, (_, n) => `${n}`);
      const values = ids.map((id) => `('${id}', 0, 0)`).join(', ');
      await database.sequelize.query(`INSERT INTO test_work (id, starts, effects) VALUES ${values}`);

      let runs = 0;
      const change = async (sql: string, bind: object): Promise<number> =>
        (await database.writeStatement(`${sql} RETURNING id`, { ...bind })).length;
      const handler = async (id: string, { signal }: JobRun): Promise<void> => {
        runs += 1;
        const run = `${runs}`;
        const claim = 'UPDATE test_work SET run_id = $run, starts = starts + 1 WHERE id = $id AND effects = 0';
        if ((await change(claim, { id, run })) === 0) return;
        await sleep(100, undefined, { signal });
        const finish = 'UPDATE test_work SET effects = effects + 1 WHERE id = $id AND run_id = $run';
        if ((await change(finish, { id, run })) === 0) throw new PacificaError('aborted', 'another run has it');
      };
      const told: string[] = [];
      const stream = { write: (line: string) => told.push((JSON.parse(line) as { msg: string }).msg) };
      const log = pino({ level: 'error' }, stream);
      const jobs: Jobs[] = [];
      for (let n = 0; n < 2; n += 1) {
        const handlers = new Map([['cart' as const, handler]]);
        const options = { lockLifetimeMs: 2000, concurrency: 2, work: true, log, keepFinishedMs: 0 };
        jobs.push(await openJobQueue({ ...place, ...options, handlers }));
      }
      const [one, other] = jobs;
      if (one === undefined || other === undefined) throw new Error('there are two');
      await one.ensure('cart', ids, allUnfinished);
      await Promise.all(jobs.map((some) => some.start()));
      const rows = (): Promise<{ effects: number }[]> =>
        database.sequelize.query('SELECT effects FROM test_work', { type: QueryTypes.SELECT });
      await until('some work', async () => (await rows()).some(({ effects }) => effects > 0));

      await server.down();
      await expect(one.health()).rejects.toMatchObject({ code: 'unavailable' });
      await expect(one.add('cart', 'x')).rejects.toMatchObject({ code: 'unavailable' });
      const [before, began] = [one.faults, Date.now()];
      // each is heard: the connection, what looks for jobs, and Agenda itself
      for (const lines of FAULTS) await until(lines.join(' or '), () => lines.some((line) => told.includes(line)));
      await sleep(Math.max(0, began + seconds * 1000 - Date.now()));
      expect(one.faults).toBeGreaterThan(before);
      await server.up();

      await until('health', async () => one.health().then(() => true), 30_000);
      await until('all effects', async () => (await rows()).every(({ effects }) => effects > 0), 60_000);
      expect((await rows()).filter(({ effects }) => effects !== 1)).toEqual([]);
      // what is put now starts at once again, by the call and not by the poll
      await database.writeStatement("INSERT INTO test_work (id, starts, effects) VALUES ('late', 0, 0)", {});
      await one.add('cart', 'late');
      await until('the late one', async () => (await rows()).every(({ effects }) => effects === 1));
      await Promise.all(jobs.map((some) => some.stop()));
      await place.close();
    });
  });
}

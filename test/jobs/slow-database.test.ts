import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backendFor, type QueueBackend } from '../../src/jobs/backend.js';
import { FaultLog } from '../../src/jobs/fault-log.js';
import { Jobs } from '../../src/jobs/jobs.js';
import type { JobStore } from '../../src/jobs/store.js';
import type { JobPlace } from '../contract/job-backend.js';
import { sqlitePlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { overriding } from '../support/overriding.js';
import { allUnfinished } from '../support/unfinished.js';
import { until } from '../support/until.js';

const LOCK = 600;

let place: JobPlace;
let backend: QueueBackend;
beforeEach(async () => {
  place = await sqlitePlace();
  backend = await backendFor({ ...place, log: silent, onError: () => undefined });
});
afterEach(() => place.close());

/** A queue whose database takes long to hand out a job. */
async function slow(ms: () => number, slots: number): Promise<{ jobs: Jobs; runs: string[] }> {
  const runs: string[] = [];
  const { store } = backend;
  const take = async (...args: Parameters<JobStore['take']>): ReturnType<JobStore['take']> => {
    const job = await store.take(...args);
    if (job !== undefined) await sleep(ms());
    return job;
  };
  const handler = async (id: string): Promise<void> => void runs.push(id);
  const options = { ...place, handlers: new Map([['cart' as const, handler]]), work: true, log: silent };
  const jobs = new Jobs(
    { ...options, lockLifetimeMs: LOCK, concurrency: slots, keepFinishedMs: 0 },
    overriding(backend, { store: overriding(store, { take }) }),
    new FaultLog(silent),
  );
  await jobs.listen();
  return { jobs, runs };
}

it('runs every job once, with all its slots, when a job takes longer to come than its lock lasts', async () => {
  let waits = LOCK + 100;
  const { jobs, runs } = await slow(() => waits, 2);
  await jobs.ensure('cart', ['1', '2', '3'], allUnfinished);
  await jobs.start();
  await until('all', () => jobs.counts.get('cart')?.succeeded === 3, 10_000);
  expect(runs.toSorted()).toEqual(['1', '2', '3']);
  // no slot is lost by that: two can still run at a time
  waits = 0;
  await jobs.ensure('cart', ['4', '5'], allUnfinished);
  await until('the rest', () => jobs.counts.get('cart')?.succeeded === 5, 5000);
  expect(jobs.counts.get('cart')).toMatchObject({ started: 5, lost: 0 });
  await jobs.stop();
});

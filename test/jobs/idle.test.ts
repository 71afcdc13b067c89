import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { backendFor } from '../../src/jobs/backend.js';
import { FaultLog } from '../../src/jobs/fault-log.js';
import { Jobs } from '../../src/jobs/jobs.js';
import { sqlitePlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';

it('asks the database nothing while there is nothing to do, and starts at once what is put by another process', async () => {
  const place = await sqlitePlace();
  const asked: string[] = [];
  const backend = await backendFor({ ...place, log: silent, onError: () => undefined });
  const store = new Proxy(backend.store, {
    get(target, key) {
      asked.push(String(key));
      const value = Reflect.get(target, key) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const watched = new Proxy(backend, {
    get: (target, key) => (key === 'store' ? store : (Reflect.get(target, key, target) as unknown)),
  });
  const options = { ...place, lockLifetimeMs: 60_000, concurrency: 2, log: silent };
  const handlers = new Map([['cart' as const, async () => undefined]]);
  const jobs = new Jobs({ ...options, handlers, work: true }, watched, new FaultLog(silent));
  const front = new Jobs(
    { ...options, handlers: new Map(), work: false },
    await backendFor({ ...place, log: silent, onError: () => undefined }),
    new FaultLog(silent),
  );
  for (const one of [jobs, front]) await one.listen();
  await jobs.start();
  // what it asks at its start, and again at its poll
  await until('its first look', () => asked.includes('due') && asked.includes('take'));
  for (const id of ['1', '2']) {
    await sleep(300);
    asked.length = 0;
    // far less than between two polls, far more than between two looks of something that is busy
    await sleep(1000);
    expect(asked).toEqual([]);
    await front.add('cart', id);
    await until('the run', () => jobs.counts.get('cart')?.succeeded === Number(id));
  }
  for (const one of [jobs, front]) await one.stop();
  await place.close();
});

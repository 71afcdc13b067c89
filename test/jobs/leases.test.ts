import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { backendFor, type QueueBackend } from '../../src/jobs/backend.js';
import { Leases, type LeasesOptions } from '../../src/jobs/leases.js';
import type { JobStore } from '../../src/jobs/store.js';
import type { JobPlace } from '../contract/job-backend.js';
import { sqlitePlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { overriding } from '../support/overriding.js';
import { until } from '../support/until.js';

let place: JobPlace;
let backend: QueueBackend;
beforeEach(async () => {
  place = await sqlitePlace();
  backend = await backendFor({ ...place, log: silent, onError: () => undefined });
});
afterEach(async () => {
  await backend.close();
  await place.close();
});

function leasesWith(options: Partial<LeasesOptions>): Leases {
  return new Leases({
    store: backend.store,
    worker: 'me',
    lifetimeMs: 60_000,
    slotsOf: () => 1,
    onRelease: () => undefined,
    onError: (error) => {
      throw error;
    },
    ...options,
  });
}

it('holds no more jobs of a kind than it has slots, however many ask for one at a time', async () => {
  const released: string[] = [];
  const leases = leasesWith({
    slotsOf: (kind) => (kind === 'cart' ? 2 : 1),
    onRelease: (kind) => released.push(kind),
  });
  const ids = Array.from({ length: 10 }, (_, n) => `${n}`);
  for (const kind of ['cart', 'ingest']) await backend.store.put(kind, ids, new Date(), false);
  const take = async (kind: string): Promise<number> =>
    (await Promise.all(ids.map(() => leases.take(kind)))).filter((job) => job !== undefined).length;

  expect(await take('cart')).toBe(2);
  expect(await take('cart')).toBe(0);
  expect(await take('ingest')).toBe(1);
  expect((await backend.repository.queryJobs({ state: 'running' })).total).toBe(3);
  for (const lease of leases.held) await leases.release(lease);
  expect(released.toSorted()).toEqual(['cart', 'cart', 'ingest']);
  expect((await backend.repository.queryJobs({ state: 'running' })).total).toBe(0);
  expect(await take('cart')).toBe(2);

  await leases.close();
  for (const lease of leases.held) await leases.release(lease);
  expect(await take('cart')).toBe(0);
});

it('takes no more while one that it took is late to begin', async () => {
  const lifetimeMs = 1000;
  const leases = leasesWith({ lifetimeMs, slotsOf: () => 3 });
  await backend.store.put('cart', ['1', '2', '3'], new Date(), false);
  expect(await leases.take('cart')).toBeDefined();
  const [first] = leases.held;
  expect(leases.heldBack('cart')).toBe(false);
  await until('it is late', () => first?.isLate === true, lifetimeMs);
  expect(await leases.take('cart')).toBeUndefined();
  expect(leases.heldBack('cart')).toBe(true);
  expect(leases.heldBack('cart')).toBe(false);
  if (first !== undefined) first.begun = true;
  expect(await leases.take('cart')).toBeDefined();
  await leases.close();
  for (const lease of leases.held) await leases.release(lease);
});

it('keeps a job that a slow database took longer to hand out than a lock lasts', async () => {
  const lifetimeMs = 1000;
  const { store } = backend;
  const leases = leasesWith({
    store: overriding(store, {
      async take(...args: Parameters<JobStore['take']>) {
        const job = await store.take(...args);
        await sleep(lifetimeMs);
        return job;
      },
    }),
    lifetimeMs,
  });
  await store.put('cart', ['1'], new Date(), false);
  const job = await leases.take('cart');
  expect(job?.data).toEqual({ id: '1' });
  const [lease] = leases.held;
  expect(lease?.expired).toBe(false);
  // and nobody else gets it
  const now = new Date();
  expect(await store.take('cart', now, new Date(now.getTime() - lifetimeMs), 'other')).toBeUndefined();
  await leases.close();
  for (const held of leases.held) await leases.release(held);
});

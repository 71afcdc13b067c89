import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pino } from 'pino';
import { SqliteJobRepository } from '../../src/jobs/sqlite/sqlite-repository.js';
import { type Jobs, type JobsOptions, openJobQueue } from '../../src/jobs/jobs.js';
import { PacificaError } from '../../src/lib/errors.js';
import { Database } from '../../src/storage/database/database.js';
import type { JobPlace } from '../contract/job-backend.js';
import { sqlitePlace } from '../support/job-places.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';

let place: JobPlace;
const opened: Jobs[] = [];
beforeAll(async () => {
  place = await sqlitePlace();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((jobs) => jobs.stop()));
});
afterAll(() => place.close());

async function queue(options: Partial<JobsOptions>): Promise<Jobs> {
  const jobs = await openJobQueue({
    ...place,
    handlers: new Map(),
    lockLifetimeMs: 1000,
    concurrency: 2,
    work: true,
    log: silent,
    ...options,
  });
  opened.push(jobs);
  await jobs.start();
  return jobs;
}

describe('the URL of jobs', () => {
  it('is refused when nobody knows it', async () => {
    const refused = queue({ url: 'redis://127.0.0.1' });
    await expect(refused).rejects.toMatchObject({
      code: 'invalid',
      hint: expect.stringContaining('mongodb://') as string,
    });
  });

  it.each([
    'postgres://me:secret@127.0.0.1:1/none',
    'mongodb://me:secret@127.0.0.1:1/none?serverSelectionTimeoutMS=300',
  ])('of a server that is away is told without its password: %s', async (url) => {
    const error = await queue({ url, patience: { attempts: 2, pause: () => 10 } }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'unavailable', hint: expect.stringContaining('[jobs] url') as string });
    expect(String(error)).not.toContain('secret');
  });
});

it('logs how each run ends: what failed for good as an error, with its id', async () => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) });
  const jobs = await queue({
    log,
    handlers: new Map([
      [
        'cart',
        async (id) => {
          if (id === 'bad') throw new PacificaError('integrity', 'the hash does not match');
          if (id === 'later') throw new PacificaError('timeout', 'no answer');
        },
      ],
    ]),
  });
  for (const id of ['good', 'bad', 'later']) await jobs.add('cart', id);
  const line = (id: string, msg: string): Promise<Record<string, unknown>> =>
    until(msg, () => lines.find((one) => one.job === id && one.msg === msg));
  expect(await line('good', 'job done')).toMatchObject({ level: 30, kind: 'cart', attempt: 1 });
  const bad = await line('bad', 'job failed');
  expect(bad).toMatchObject({ level: 50, err: { message: 'the hash does not match' } });
  expect(await line('later', 'job failed, it will be tried again')).toMatchObject({ level: 40 });
});

it('tries again what a handler gave up since another run has its row; takes anything that is thrown', async () => {
  const odd = new AbortController();
  odd.abort('no error at all');
  const jobs = await queue({
    handlers: new Map([
      [
        'cart',
        async (id, { attempt }) => {
          if (id === 'odd') odd.signal.throwIfAborted();
          if (attempt === 1) throw new PacificaError('aborted', 'another run has this cart');
        },
      ],
    ]),
  });
  await jobs.add('cart', 'taken');
  await jobs.add('cart', 'odd');
  await until('both ends', () => jobs.counts.get('cart')?.succeeded === 1 && jobs.counts.get('cart')?.failed === 1);
  expect(jobs.counts.get('cart')).toMatchObject({ retried: 1, failed: 1 });
  expect((await jobs.admin.show('cart', 'odd')).error).toBe('no error at all');
});

it('hands each of many jobs to one of several processes that ask at the same moment', async () => {
  const others = [await Database.open(place.database.url), await Database.open(place.database.url)];
  const repositories = [place.database, ...others].map((database) => new SqliteJobRepository(database));
  const job = { name: 'race', priority: 0, nextRunAt: new Date(), type: 'normal' } as const;
  for (let n = 0; n < 60; n += 1) await repositories[0]?.saveJob({ ...job, data: { n } }, undefined);
  const long = new Date(0);
  const taken = await Promise.all(
    repositories.flatMap((repository) =>
      Array.from({ length: 20 }, () => repository.getNextJobToRun('race', new Date(), long, undefined, undefined)),
    ),
  );
  expect(new Set(taken.map((one) => one?._id)).size).toBe(60);
  for (const database of others) await database.close();
});

/**
 * The job queue on SQLite: how long from putting a job to its start, here and in another process, and how many trivial
 * jobs a second one process and two do. Targets: under 20 ms, at least 300 a second, with two no fewer.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { type Jobs, openJobQueue } from '../src/jobs/jobs.js';
import type { JobHandler } from '../src/lib/job-queue.js';
import { Database } from '../src/storage/database/database.js';
import { syncSchema } from '../src/storage/database/schema.js';

const JOBS = 3000;
const PROBES = 200;

async function queue(url: string, handler: JobHandler | undefined): Promise<{ jobs: Jobs; database: Database }> {
  const database = await Database.open(url);
  await syncSchema(database);
  const jobs = await openJobQueue({
    database,
    url: '',
    handlers: new Map(handler === undefined ? [] : [['cart', handler]]),
    lockLifetimeMs: 10_000,
    concurrency: 4,
    work: handler !== undefined,
    log: pino({ level: 'silent' }),
  });
  return { jobs, database };
}

/** A worker in a process of its own: works when told to, and tells of each start, or of how many it did. */
async function child(url: string): Promise<void> {
  let done = 0;
  const { jobs } = await queue(url, async (id) => {
    done += 1;
    if (id.startsWith('probe')) process.send?.({ started: Date.now() });
  });
  process.on('message', () => void jobs.start().then(() => process.send?.({ working: true })));
  setInterval(() => process.send?.({ done }), 20);
  process.send?.({ ready: true });
}

interface Told {
  readonly ready?: true;
  readonly working?: true;
  readonly started?: number;
  readonly done?: number;
}

async function startChild(url: string): Promise<ChildProcess> {
  const worker = fork(fileURLToPath(import.meta.url), [url], { execArgv: ['--import', 'tsx'] });
  await told(worker, ({ ready }) => ready);
  return worker;
}

/** @returns what a child told, as soon as it fits */
async function told<T>(worker: ChildProcess, wanted: (message: Told) => T | undefined): Promise<T> {
  for (;;) {
    const [message] = (await once(worker, 'message')) as [Told];
    const fits = wanted(message);
    if (fits !== undefined) return fits;
  }
}

async function end(worker: ChildProcess): Promise<void> {
  worker.kill('SIGKILL');
  await once(worker, 'exit');
}

async function place(work: (url: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pacifica-bench-'));
  try {
    await work(`sqlite://${folder}/pacifica.db`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function tell(what: string, times: number[]): void {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor(sorted.length * part)] ?? NaN).toFixed(1);
  console.log(`${what}: median ${at(0.5)} ms, 95 % ${at(0.95)} ms`);
}

async function latencyHere(url: string): Promise<void> {
  let started: (at: number) => void = () => undefined;
  const { jobs, database } = await queue(url, async () => started(performance.now()));
  await jobs.start();
  const times: number[] = [];
  for (let n = 0; n < PROBES; n += 1) {
    const begin = performance.now();
    const start = new Promise<number>((resolve) => (started = resolve));
    await jobs.add('cart', `probe ${n}`);
    times.push((await start) - begin);
  }
  tell('put to start, same process', times);
  await jobs.stop();
  await database.close();
}

async function latencyThere(url: string): Promise<void> {
  const { jobs, database } = await queue(url, undefined);
  const worker = await startChild(url);
  worker.send('work');
  await told(worker, ({ working }) => working);
  const times: number[] = [];
  for (let n = 0; n < PROBES; n += 1) {
    const begin = Date.now();
    const start = told(worker, ({ started }) => started);
    await jobs.add('cart', `probe ${n}`);
    times.push((await start) - begin);
  }
  tell('put to start, another process', times);
  await end(worker);
  await jobs.stop();
  await database.close();
}

async function throughput(url: string, processes: number): Promise<void> {
  const { jobs, database } = await queue(url, undefined);
  const workers = await Promise.all(Array.from({ length: processes }, () => startChild(url)));
  const ids = Array.from({ length: JOBS }, (_, n) => `${n}`);
  await jobs.ensure('cart', ids, (some) => Promise.resolve(some));
  const counts = new Map<ChildProcess, number>();
  const all = new Promise<void>((resolve) => {
    for (const worker of workers) {
      worker.on('message', ({ done }: Told) => {
        counts.set(worker, done ?? 0);
        if ([...counts.values()].reduce((sum, some) => sum + some, 0) >= JOBS) resolve();
      });
    }
  });
  const begin = performance.now();
  for (const worker of workers) worker.send('work');
  await all;
  const seconds = (performance.now() - begin) / 1000;
  const each = [...counts.values()].join(' + ');
  console.log(`${processes} process${processes > 1 ? 'es' : ''}: ${Math.round(JOBS / seconds)} jobs/s (${each})`);
  await Promise.all(workers.map(end));
  await jobs.stop();
  await database.close();
}
const [, , url] = process.argv;
if (url?.startsWith('sqlite:')) {
  await child(url);
} else {
  await place(latencyHere);
  await place(latencyThere);
  for (const processes of [1, 2, 1, 2]) await place((there) => throughput(there, processes));
  process.exit(0);
}

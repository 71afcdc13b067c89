import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agenda, type Job, type JobNotification, toJobId } from 'agenda';
import type { Logger } from 'pino';
import { backoff } from '../lib/backoff.js';
import { mayPass, messageOf, PacificaError } from '../lib/errors.js';
import { maskSecrets } from '../lib/mask-secrets.js';
import { ONCE, type Patience, persist } from '../lib/persist.js';
import type { JobHandler, JobKind, JobQueue, JobRetries, StillUnfinished } from '../lib/job-queue.js';
import { type Database, rootCause } from '../storage/database/database.js';
import { JobAdmin } from './admin.js';
import { backendFor, type QueueBackend } from './backend.js';
import { FaultLog } from './fault-log.js';
import { LeasedRepository } from './leased-repository.js';
import { Leases, type Lease } from './leases.js';
import type { JobData } from './store.js';
import { Wakeups } from './wakeups.js';

/** waits between the tries of a job */
const RETRY = { first: 1000, longest: 300_000 };

/** ms that a health check waits for the backend */
const HEALTH_TIMEOUT = 5000;

/** ms that a handler gets to leave; what it writes after that is void, as that of a worker taken for dead */
const STOP_TIMEOUT = 500;

/** ids that the backend is asked about at once */
const LOOK_AT = 500;

/** ms between two removals of finished jobs, at most */
const TIDY_EVERY = 600_000;

export interface JobsOptions {
  /** the database of the domain */
  readonly database: Database;
  /** `postgres://...`, `mongodb://...`, or empty for the database */
  readonly url: string;
  /** what does the work; read when {@link Jobs.start} is called */
  readonly handlers: ReadonlyMap<JobKind, JobHandler>;
  /** ms after which the jobs of a worker that died are taken over. Clocks of machines must agree much better than this. */
  readonly lockLifetimeMs: number;
  /** jobs of one kind that this process runs at a time; of some kinds more or less */
  readonly concurrency: number;
  readonly concurrencyOf?: Readonly<Partial<Record<JobKind, number>>>;
  /** ms that finished jobs are kept to be looked at; 0 removes those that succeeded at once. Default: a day */
  readonly keepFinishedMs?: number;
  /** ms between two looks for jobs that nobody told of. Default: half of the lock's lifetime */
  readonly pollMs?: number;
  /** ms that {@link Jobs.stop} waits for handlers to leave. Default: half a second, so that others have the jobs within one */
  readonly stopTimeoutMs?: number;
  /** false: jobs are put here and run elsewhere */
  readonly work: boolean;
  /** how long a backend that can not be reached is tried at start. Default: once */
  readonly patience?: Patience;
  readonly log: Logger;
}

/** The server is there and will not have us: no such user, password, right or database (PostgreSQL, MongoDB). */
const REFUSAL = /^(28...|3D000|42501|13|18)$/;

/** What happened to jobs of one kind in this process. */
export interface JobCounts {
  started: number;
  succeeded: number;
  /** for good */
  failed: number;
  /** failed, and will be tried again */
  retried: number;
  /** given back undone when the process stopped */
  handedBack: number;
  /** another worker took the job over while it ran here, or it was cancelled */
  lost: number;
}

/**
 * Connects the queue of background jobs. Work begins with {@link Jobs.start}.
 * @throws PacificaError `invalid` for a URL of no known kind, `unavailable` when the backend can not be reached
 */
export async function openJobQueue(options: JobsOptions): Promise<Jobs> {
  const faults = new FaultLog(options.log);
  const backend = await backendFor({
    database: options.database,
    url: options.url,
    log: options.log,
    onError: (error) => faults.report('lost a connection of the job queue', error),
  });
  const place = maskSecrets(options.url === '' ? options.database.url : options.url);
  const patience = options.patience ?? ONCE;
  const connect = async (): Promise<void> => {
    try {
      await backend.connect();
    } catch (error) {
      throw rootCause(error);
    }
  };
  try {
    await persist(connect, patience, `can not reach the job queue at ${place}`, (error) => !isRefusal(error));
  } catch (error) {
    // not waited for: a connection that does not come would hold us up
    backend.close().catch(() => undefined);
    patience.signal?.throwIfAborted();
    throw new PacificaError('unavailable', `can not reach the job queue at ${place}: ${messageOf(error)}`, {
      hint: `check that it runs, and ${options.url === '' ? '[database] url' : '[jobs] url'} in the configuration`,
      cause: error,
    });
  }
  const jobs = new Jobs(options, backend, faults);
  await jobs.listen();
  return jobs;
}

/** The queue of background jobs, and the worker of this process. Made by {@link openJobQueue}. */
export class Jobs implements JobQueue {
  readonly #options: JobsOptions;
  readonly #backend: QueueBackend;
  /** looking into the queue and meddling with it */
  readonly admin: JobAdmin;
  readonly #faults: FaultLog;
  readonly #log: Logger;
  /** tells this process from all others there ever are */
  readonly #worker = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  readonly #leases: Leases;
  /** jobs at a time, by kind */
  readonly #slots = new Map<string, number>();
  readonly #counts = new Map<JobKind, JobCounts>();
  /** runs by kind and id, those included that lost their lock and did not leave yet */
  readonly #running = new Map<string, Promise<void>>();
  #wakeups: Wakeups | undefined;
  #agenda: Agenda | undefined;
  #tidy: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: JobsOptions, backend: QueueBackend, faults: FaultLog) {
    this.#options = options;
    this.#backend = backend;
    this.admin = new JobAdmin(backend, (kind, id) => this.add(kind, id));
    this.#faults = faults;
    this.#log = options.log;
    this.#leases = new Leases({
      store: backend.store,
      worker: this.#worker,
      lifetimeMs: options.lockLifetimeMs,
      onRelease: (kind) => {
        this.#wakeups?.call(kind);
        void this.#tell(kind, new Date());
      },
      slotsOf: (kind) => this.#slots.get(kind) ?? 0,
      onError: (error) => faults.report('can not write the end of a job', error),
    });
  }

  /** Connects the channel that tells other processes of new jobs. It comes back by itself. */
  async listen(): Promise<void> {
    const { channel } = this.#backend;
    channel?.on('error', (error) => this.#faults.report('lost the connection that tells of new jobs', error));
    // without it jobs are found by looking: slower, and no reason not to start
    await channel?.connect().catch(() => undefined);
  }

  /**
   * Puts a job. While a job of this kind and id runs, it will run once more afterwards; it never runs twice at a time.
   * @throws PacificaError `unavailable` when the backend can not be reached; nothing is queued then
   */
  async add(kind: JobKind, id: string, { delay = 0 }: { delay?: number } = {}): Promise<void> {
    await this.#put(kind, [id], new Date(Date.now() + delay), false);
  }

  /**
   * Sees to it that each id has a job that waits or runs. Those that have one are left alone.
   * @throws PacificaError `unavailable` when the backend can not be reached; what `unfinished` throws
   */
  async ensure(kind: JobKind, ids: readonly string[], unfinished: StillUnfinished): Promise<void> {
    for (let start = 0; start < ids.length; start += LOOK_AT) {
      // in this order: a job ends after its row is finished, so a row that is not finished now has lost its job
      const idle = await this.#idle(kind, ids.slice(start, start + LOOK_AT));
      if (idle.length > 0) await this.#put(kind, await unfinished(idle), new Date(), true);
    }
  }

  /** @returns those of the ids that have no job which waits or runs */
  async #idle(kind: JobKind, ids: readonly string[]): Promise<string[]> {
    const { repository, store } = this.#backend;
    try {
      const { jobs } = await repository.queryJobs({ ids: ids.map((id) => store.idOf(kind, id)) });
      const live = jobs.filter(({ lockedAt, nextRunAt }) => Boolean(lockedAt) || nextRunAt !== null);
      const busy = new Set(live.map(({ _id }) => String(_id)));
      return ids.filter((id) => !busy.has(store.idOf(kind, id)));
    } catch (error) {
      throw new PacificaError('unavailable', `can not look for ${kind} jobs: ${messageOf(error)}`, { cause: error });
    }
  }

  async retries(kind: JobKind, id: string): Promise<JobRetries | undefined> {
    const job = await this.#backend.repository.getJobById(this.#backend.store.idOf(kind, id));
    if (!job?.failCount) return undefined;
    return { tries: job.failCount, next: job.lockedAt ? undefined : (job.nextRunAt ?? undefined) };
  }

  async #put(kind: JobKind, ids: readonly string[], at: Date, onlyIdle: boolean): Promise<void> {
    if (ids.length === 0) return;
    try {
      await this.#backend.store.put(kind, ids, at, onlyIdle);
    } catch (error) {
      throw new PacificaError('unavailable', `can not queue a ${kind} job: ${messageOf(error)}`, { cause: error });
    }
    if (at.getTime() <= Date.now()) this.#wakeups?.call(kind);
    else this.#wakeups?.at(at);
    await this.#tell(kind, at);
  }

  /** Tells other processes. When that fails they find the job by looking. */
  async #tell(kind: string, at: Date): Promise<void> {
    const { channel } = this.#backend;
    if (channel?.state !== 'connected') return;
    const notification: JobNotification = {
      jobId: toJobId(''),
      jobName: kind,
      nextRunAt: at,
      priority: 0,
      timestamp: new Date(),
      source: this.#worker,
    };
    try {
      await channel.publish(notification);
    } catch (error) {
      this.#faults.report('can not tell other processes of a new job', error);
    }
  }

  /** Begins to run jobs, if this process is to work at all. */
  async start(): Promise<void> {
    if (!this.#options.work || this.#agenda !== undefined || this.#stopping !== undefined) return;
    const { handlers, lockLifetimeMs, concurrency, concurrencyOf, keepFinishedMs = 86_400_000 } = this.#options;
    const pollMs = this.#options.pollMs ?? lockLifetimeMs / 2;
    for (const kind of handlers.keys()) this.#slots.set(kind, concurrencyOf?.[kind] ?? concurrency);
    const { store, repository, channel, lookEvery = pollMs } = this.#backend;
    const kinds = [...handlers.keys()];
    const wakeups = new Wakeups({ store, kinds, channel, worker: this.#worker, lookEvery, faults: this.#faults });
    const agenda = new Agenda({
      name: this.#worker,
      backend: {
        name: this.#backend.name,
        repository: new LeasedRepository(repository, this.#leases, keepFinishedMs === 0),
        notificationChannel: wakeups.local,
        // connected and closed here, where failing is heard
        ownsConnection: false,
        connect: () => Promise.resolve(),
        disconnect: () => Promise.resolve(),
      },
      processEvery: pollMs,
      maxConcurrency: [...this.#slots.values()].reduce((sum, slots) => sum + slots, 0),
      defaultLockLifetime: lockLifetimeMs,
    });
    agenda.on('error', (error) => this.#faults.report('the job queue has a problem', error));
    // what was not taken while this one was late
    agenda.on('start', (job) => {
      if (this.#leases.heldBack(job.attrs.name)) wakeups.call(job.attrs.name);
    });
    // a slot is free once Agenda's own accounts are done
    agenda.on('complete', (job) => setImmediate(() => wakeups.call(job.attrs.name)));
    for (const kind of kinds) {
      const slots = this.#slots.get(kind);
      const options = { concurrency: slots, lockLimit: slots, backoff: retryDelay };
      agenda.define<JobData>(kind, (job) => this.#run(kind, job), options);
    }
    this.#agenda = agenda;
    this.#wakeups = wakeups;
    await agenda.start();
    wakeups.start();
    this.#tidy = setInterval(
      () => void this.#removeFinished(keepFinishedMs),
      Math.min(Math.max(keepFinishedMs, 1000), TIDY_EVERY),
    );
    this.#log.info(
      { worker: this.#worker, backend: this.#backend.name, slots: Object.fromEntries(this.#slots) },
      'working on jobs',
    );
  }

  async #removeFinished(keepMs: number): Promise<void> {
    try {
      await this.#backend.store.removeFinished(new Date(Date.now() - keepMs));
    } catch (error) {
      this.#faults.report('can not remove finished jobs', error);
    }
  }

  /** One run, as Agenda calls it. What it throws decides what becomes of the job. */
  async #run(kind: JobKind, job: Job<JobData>): Promise<void> {
    const { id } = job.attrs.data;
    const lease = this.#leases.of(job.attrs);
    const handler = this.#options.handlers.get(kind);
    if (lease === undefined || handler === undefined)
      throw new PacificaError('internal', `nobody runs job ${kind} ${id}`);
    const key = `${kind}\0${id}`;
    const before = this.#running.get(key);
    const attempt = (job.attrs.failCount ?? 0) + 1;
    lease.keep(async () => {
      try {
        await job.touch();
      } catch (error) {
        if (!lease.lost) this.#faults.report('can not renew the lock of a job', error);
      }
    });
    const work = async (): Promise<void> => {
      // an earlier run of it, that lost its lock, has not left yet
      await before;
      lease.signal.throwIfAborted();
      await handler(id, { attempt, signal: lease.signal });
    };
    const running = work();
    const left = running.then(
      () => undefined,
      () => undefined,
    );
    this.#running.set(key, left);
    void left.then(() => {
      if (this.#running.get(key) === left) this.#running.delete(key);
    });
    await this.#watch(kind, id, attempt, lease, running);
  }

  /** Counts and logs how a run ends, and throws what it threw. */
  async #watch(kind: JobKind, id: string, attempt: number, lease: Lease, running: Promise<void>): Promise<void> {
    const counts = this.#countsOf(kind);
    const started = performance.now();
    const line = (): object => ({ kind, job: id, attempt, ms: Math.round(performance.now() - started) });
    counts.started += 1;
    this.#log.debug({ kind, job: id, attempt }, 'job starts');
    try {
      await running;
    } catch (error) {
      if (lease.lost) {
        counts.lost += 1;
        this.#log.warn({ ...line(), err: error }, 'job left, its lock is lost');
      } else if (lease.signal.aborted) {
        lease.handBack = true;
        counts.handedBack += 1;
        this.#log.info(line(), 'job handed back');
      } else if (isTriedAgain(error)) {
        counts.retried += 1;
        this.#log.warn({ ...line(), err: error }, 'job failed, it will be tried again');
      } else {
        counts.failed += 1;
        this.#log.error({ ...line(), err: error }, 'job failed');
      }
      this.#lookAfter(lease);
      // Agenda expects an Error
      throw error instanceof Error ? error : new PacificaError('internal', messageOf(error));
    }
    if (lease.lost) counts.lost += 1;
    else counts.succeeded += 1;
    this.#log.info(line(), lease.lost ? 'job done, though its lock is lost' : 'job done');
    this.#lookAfter(lease);
  }

  /** A job that is to run again is looked for at its time. */
  #lookAfter(lease: Lease): void {
    void lease.ended.then(() => {
      const next = lease.finished?.nextRunAt;
      if (next !== undefined) this.#wakeups?.at(next);
    });
  }

  /**
   * Stops: takes no more jobs, tells running handlers to leave, gives their jobs back, disconnects. A handler that does
   * not leave in time loses its job to another process; what it writes afterwards is void.
   * Agenda leaves timers behind for up to half of the lock's lifetime: the process ends by itself only after that.
   */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    await this.#stopping;
  }

  async #stop(): Promise<void> {
    clearInterval(this.#tidy);
    this.#wakeups?.stop();
    // in this order: what Agenda has taken and not begun goes back first
    const closed = this.#leases.close();
    await this.#agenda?.stop(false);
    await closed;
    const leases = this.#leases.held;
    for (const lease of leases) lease.abort('the process stops');
    const ended = new AbortController();
    await Promise.race([
      Promise.all(leases.map((lease) => lease.ended)),
      sleep(this.#options.stopTimeoutMs ?? STOP_TIMEOUT, undefined, { signal: ended.signal }).catch(() => undefined),
    ]);
    ended.abort();
    await Promise.all(
      this.#leases.held.map(async (lease) => {
        this.#log.warn({ kind: lease.kind, queued: lease.id }, 'job does not stop, it is given back while it runs');
        lease.handBack = true;
        await this.#leases.release(lease);
      }),
    );
    await this.#backend.close();
  }

  /** Resolves when jobs can be put and found. @throws PacificaError `unavailable` with what is wrong */
  async health(): Promise<void> {
    if (this.#stopping !== undefined) throw new PacificaError('unavailable', 'the job queue is stopping');
    const answered = new AbortController();
    try {
      await Promise.race([
        // any kind will do, it is the answer that counts
        this.#backend.store.due(['health'], new Date()),
        sleep(HEALTH_TIMEOUT, undefined, { signal: answered.signal }).then(() => {
          throw new PacificaError('timeout', `no answer within ${HEALTH_TIMEOUT} ms`);
        }),
      ]);
    } catch (error) {
      throw new PacificaError('unavailable', `the job queue on ${this.#backend.name}: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      answered.abort();
    }
  }

  /** what this process did since its start, by kind */
  get counts(): ReadonlyMap<JobKind, Readonly<JobCounts>> {
    return this.#counts;
  }

  /** errors of the queue itself and of its connections since the start of the process */
  get faults(): number {
    return this.#faults.total;
  }

  #countsOf(kind: JobKind): JobCounts {
    const counts = this.#counts.get(kind) ?? {
      started: 0,
      succeeded: 0,
      failed: 0,
      retried: 0,
      handedBack: 0,
      lost: 0,
    };
    this.#counts.set(kind, counts);
    return counts;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && REFUSAL.test(String(error.code));
}

/**
 * What may pass; and what a handler gave up since another run has its row, which then finds out what is left to do: a
 * job that is not known to be done is never dropped.
 */
function isTriedAgain(error: unknown): boolean {
  return mayPass(error) || (error instanceof PacificaError && error.code === 'aborted');
}

/** Agenda's question after a failed run. @returns ms until the next try, null for none */
function retryDelay({ attempt, error }: { attempt: number; error: unknown }): number | null {
  return isTriedAgain(error) ? backoff(attempt, RETRY) : null;
}

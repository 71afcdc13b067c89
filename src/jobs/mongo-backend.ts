import { MongoBackend, MongoChangeStreamNotificationChannel } from '@agendajs/mongo-backend';
import type { JobParameters, JobRepository, NotificationChannel } from 'agenda';
import { type Collection, type Filter, MongoClient, MongoServerError, ObjectId } from 'mongodb';
import { PacificaError } from '../lib/errors.js';
import type { BackendOptions, QueueBackend } from './backend.js';
import { type DueTime, type Finished, type JobData, jobIdOf, type JobStore } from './store.js';

const COLLECTION = 'pacifica_job';

/** jobs that are put at a time */
const AT_ONCE = 50;

/** ms between two looks for new jobs where the server can not tell of them: jobs handed back are to run within a second */
const LOOK_EVERY = 200;

/** ms after which a server that can not be reached is an error */
const TIMEOUT = 10_000;

/** MongoDB's "there is a document with this key" */
const DUPLICATE_KEY = 11_000;

/** What the queue reads and writes of Agenda's documents. */
interface JobDocument {
  _id: ObjectId;
  name: string;
  type: 'normal';
  priority: number;
  data: JobData;
  nextRunAt: Date | null;
  lockedAt: Date | null;
  lastRunAt?: Date | null;
  lastFinishedAt: Date | null;
  failedAt: Date | null;
  failCount: number | null;
  failReason: string | null;
  lastModifiedBy?: string | null;
  disabled: boolean;
}

/**
 * Agenda's backend for MongoDB, with the queue's own writes on the same collection: each step is one document's atomic
 * update, with conditions, and without anything that only newer or bigger servers have.
 */
export class MongoQueueBackend implements QueueBackend {
  readonly name = 'MongoDB';
  readonly lookEvery = LOOK_EVERY;
  readonly #client: MongoClient;
  readonly #agenda: MongoBackend;
  readonly #jobs: Collection<JobDocument>;
  #channel: MongoChangeStreamNotificationChannel | undefined;

  constructor({ url, onError }: BackendOptions) {
    const says = (option: string): boolean => new RegExp(`[?&]${option}=`, 'i').test(url);
    this.#client = new MongoClient(url, {
      appName: 'pacifica-jobs',
      ...(!says('serverSelectionTimeoutMS') && { serverSelectionTimeoutMS: TIMEOUT }),
      // what was written is to survive the loss of a server: acknowledged by most of them, and in their journals
      ...(!says('w') && { writeConcern: { w: 'majority', journal: true } }),
    });
    // the driver reconnects by itself and says nothing else of a server that is away
    this.#client.on('serverHeartbeatFailed', ({ failure }) => onError(failure));
    const database = this.#client.db();
    this.#jobs = database.collection<JobDocument>(COLLECTION);
    this.#agenda = new MongoBackend({ mongo: database, collection: COLLECTION, logCollection: 'pacifica_job_log' });
  }

  get repository(): JobRepository {
    return this.#agenda.repository;
  }

  /** Only a replica set tells of changes. */
  get channel(): NotificationChannel | undefined {
    return this.#channel;
  }

  async connect(): Promise<void> {
    await this.#client.connect();
    await this.#agenda.connect();
    const hello = await this.#client.db().admin().command({ hello: 1 });
    if (hello.setName !== undefined && this.#channel === undefined) {
      this.#channel = new MongoChangeStreamNotificationChannel({ db: this.#client.db(), collection: COLLECTION });
    }
  }

  async close(): Promise<void> {
    await this.#channel?.disconnect();
    await this.#client.close();
  }

  readonly store: JobStore = {
    idOf: (kind, id) => jobIdOf(kind, id, 24),

    put: async (kind, ids, at, onlyIdle) => {
      for (let start = 0; start < ids.length; start += AT_ONCE) {
        await Promise.all(ids.slice(start, start + AT_ONCE).map((id) => this.#put(kind, id, at, onlyIdle)));
      }
    },

    take: async (kind, now, lockDeadline, token): Promise<JobParameters | undefined> => {
      for (;;) {
        const job = await this.repository.getNextJobToRun(kind, now, lockDeadline, now, { lastModifiedBy: token });
        if (job?._id === undefined) return undefined;
        const held = heldBy(job._id, token);
        const { matchedCount } = await this.#jobs.updateOne(held, { $set: { lastRunAt: now } });
        // cancelled in between; or, where updates are not atomic, another worker's by now: there may be more
        if (matchedCount === 0) continue;
        // what is put from now on is one run more; what was put before is this run
        await this.#jobs.updateOne({ ...held, nextRunAt: { $lte: now } }, { $set: { nextRunAt: null } });
        return job;
      }
    },

    renew: async (id, token, now): Promise<boolean> =>
      (await this.#jobs.updateOne(heldBy(id, token), { $set: { lockedAt: now } })).matchedCount === 1,

    finish: async (job, token, remove): Promise<Finished> => {
      const held = heldBy(job._id ?? '', token);
      const next = job.nextRunAt;
      if (remove && next === null) {
        const { deletedCount } = await this.#jobs.deleteOne({ ...held, nextRunAt: null });
        if (deletedCount === 1) return { held: true, nextRunAt: undefined };
      }
      const left = {
        lockedAt: null,
        failCount: job.failCount ?? null,
        failReason: job.failReason ?? null,
        failedAt: job.failedAt ?? null,
        lastFinishedAt: job.lastFinishedAt ?? null,
      };
      const unlocked =
        (next !== null && (await this.#change({ ...held, nextRunAt: null }, { $set: { ...left, nextRunAt: next } }))) ||
        (await this.#change(held, next === null ? { $set: left } : { $set: left, $min: { nextRunAt: next } }));
      return unlocked || { held: false, nextRunAt: undefined };
    },

    release: async (id, token, at): Promise<void> => {
      const held = heldBy(id, token);
      const unlocked = await this.#change({ ...held, nextRunAt: null }, { $set: { lockedAt: null, nextRunAt: at } });
      if (unlocked === false) await this.#change(held, { $set: { lockedAt: null }, $min: { nextRunAt: at } });
    },

    due: async (kinds, now): Promise<DueTime[]> => {
      const first = async (kind: string, nextRunAt: Filter<JobDocument>['nextRunAt']): Promise<DueTime[]> => {
        const waiting = { name: kind, lockedAt: null, nextRunAt, disabled: { $ne: true } };
        const job = await this.#jobs.findOne(waiting, { sort: { nextRunAt: 1 } });
        return job?.nextRunAt ? [{ kind, at: job.nextRunAt }] : [];
      };
      const found = kinds.map(async (kind) => {
        const [next] = await first(kind, { $ne: null });
        if (next === undefined) return [];
        return next.at > now ? [next] : [next, ...(await first(kind, { $gt: now }))];
      });
      return (await Promise.all(found)).flat();
    },

    removeFinished: async (before): Promise<number> =>
      (await this.#jobs.deleteMany({ lockedAt: null, nextRunAt: null, lastFinishedAt: { $lt: before } })).deletedCount,
  };

  /** Each of the three updates fits one state of the job; between two of them it may pass into another, so try again. */
  async #put(kind: string, id: string, at: Date, onlyIdle: boolean): Promise<void> {
    const job = { _id: new ObjectId(this.store.idOf(kind, id)) };
    const fresh = { failCount: null, failReason: null, failedAt: null };
    const begin = { ...fresh, name: kind, type: 'normal', priority: 0, data: { id }, disabled: false } as const;
    for (let attempt = 0; attempt < 100; attempt += 1) {
      if (await this.#insert(job, { ...begin, nextRunAt: at, lockedAt: null, lastFinishedAt: null })) return;
      const idle = { ...job, nextRunAt: null, lockedAt: null };
      if (await this.#change(idle, { $set: { ...fresh, nextRunAt: at } })) return;
      if (onlyIdle) return;
      if (await this.#change({ ...job, nextRunAt: { $ne: null } }, { $min: { nextRunAt: at } })) return;
      const runs = { ...job, nextRunAt: null, lockedAt: { $ne: null } };
      if (await this.#change(runs, { $set: { nextRunAt: at } })) return;
    }
    throw new PacificaError('unavailable', `the job ${kind} ${id} changes faster than it can be queued`);
  }

  /** @returns false when the document is there already */
  async #insert(job: { _id: ObjectId }, document: Omit<JobDocument, '_id'>): Promise<boolean> {
    try {
      return (await this.#jobs.updateOne(job, { $setOnInsert: document }, { upsert: true })).upsertedCount === 1;
    } catch (error) {
      // two upserts at once: the other one was first
      if (error instanceof MongoServerError && error.code === DUPLICATE_KEY) return false;
      throw error;
    }
  }

  /** @returns when the job runs next, false when none fits */
  async #change(
    filter: Filter<JobDocument>,
    update: { $set?: Partial<JobDocument>; $min?: Partial<JobDocument> },
  ): Promise<Finished | false> {
    const job = await this.#jobs.findOneAndUpdate(filter, update, { returnDocument: 'after' });
    return job === null ? false : { held: true, nextRunAt: job.nextRunAt ?? undefined };
  }
}

/** the run with this token still has its lock */
function heldBy(id: string, token: string): { _id: ObjectId; lastModifiedBy: string; lockedAt: { $ne: null } } {
  return { _id: new ObjectId(id), lastModifiedBy: token, lockedAt: { $ne: null } };
}

import { mayPass, PacificaError } from '../lib/errors.js';
import type { JobHandler, JobRetries, JobRows } from '../lib/job-queue.js';
import { ONCE, persist } from '../lib/persist.js';
import { type IngestJob, type IngestPhase, WORK } from '../storage/database/ingest-jobs.js';
import { Claim, newRun } from './claim.js';
import { enqueue } from './open-job.js';
import type { IngestParts } from './parts.js';
import { purgeFailed, purgeHandler, removeOrphans } from './purge.js';
import { receive, type Reception, type Upload } from './receive.js';
import { receiveMove } from './receive-move.js';
import { ingestHandler } from './run.js';
import { MetadataSpool } from './spool.js';
import { isStuck, type StateRecord, stateRecord, type Task } from './state.js';
import { Sweeper } from './sweep.js';

export interface IngestServiceOptions extends Omit<IngestParts, 'spool' | 'unsure'> {
  /** folder of ours, shared by all processes that receive bundles or run jobs: the metadata of jobs under way */
  readonly folder: string;
}

/** What became of an upload, for the one who sent it. */
export interface UploadAnswer {
  readonly record: StateRecord;
  /** why the bundle was not taken; the record is that of a FAILED job then */
  readonly error: PacificaError | undefined;
  /** the record is that of an earlier request with the same key; the body was not touched */
  readonly replayed: boolean;
}

/** A job as it stands in a list. */
export interface ListedJob {
  readonly record: StateRecord;
  readonly kind: IngestJob['kind'];
  /** who sent it */
  readonly user: string;
  /** whether it makes no progress */
  readonly stuck: boolean;
  /** whether its data is with us and not in the archive: a failed job that has it can be tried again */
  readonly kept: boolean;
  readonly files: number;
  readonly bytes: number;
}

/** Ingest: takes bundles and moves, works on them, and tells how far they are. */
export class IngestService {
  /** does the work of the jobs of kind `ingest` */
  readonly handler: JobHandler;
  /** removes what nobody needs any more, in the jobs of kind `ingest-purge` */
  readonly purgeHandler: JobHandler;
  readonly #parts: IngestParts;
  readonly #sweeper: Sweeper;

  constructor({ folder, log, ...parts }: IngestServiceOptions) {
    // a job is named as the queue's own lines name it: its kind, and its id as text
    const named = log.child({ kind: 'ingest' }, { serializers: { job: String } });
    this.#parts = { ...parts, log: named, spool: new MetadataSpool(folder), unsure: new Set() };
    this.handler = ingestHandler(this.#parts);
    this.purgeHandler = purgeHandler(this.#parts);
    this.#sweeper = new Sweeper(this.#parts);
  }

  /**
   * Takes in a bundle; see {@link receive}.
   * @throws PacificaError `unavailable` when no job id can be had; the body is not touched then
   */
  async receive(body: AsyncIterable<Uint8Array>, upload: Upload): Promise<UploadAnswer> {
    const { job, error, replayed }: Reception = await receive(this.#parts, body, upload);
    return { record: this.#record(job), error, replayed };
  }

  /**
   * Takes in the metadata of files that are on the server already; see {@link receiveMove}.
   * @throws PacificaError `invalid`, `too-large`, `unavailable`; there is no job then
   */
  async move(
    body: AsyncIterable<Uint8Array>,
    request: { user: string; key?: string },
  ): Promise<{ record: StateRecord; replayed: boolean }> {
    const { job, replayed } = await receiveMove(this.#parts, body, request);
    return { record: this.#record(job), replayed };
  }

  /** @throws PacificaError `not-found` */
  async state(jobId: number): Promise<StateRecord> {
    const job = await this.job(jobId);
    return this.#record(job, await this.#retries(job));
  }

  /** Where a job stands that waits for something. It is an extra: what the row says is told without it, too. */
  async #retries({ id, complete, exception }: IngestJob): Promise<JobRetries | undefined> {
    if (complete || exception === '') return undefined;
    try {
      return await this.#parts.queue.retries('ingest', String(id));
    } catch (error) {
      this.#parts.log.warn({ job: id, err: error }, 'can not ask the queue about the ingest job');
      return undefined;
    }
  }

  /** @throws PacificaError `not-found`, in the words of the original (wire.md, ingest part) */
  async job(jobId: number): Promise<IngestJob> {
    const job = await this.#parts.store.find(jobId);
    if (job === undefined) throw new PacificaError('not-found', `job ID ${jobId} does not exist.`);
    return job;
  }

  /** Jobs, newest first. @param filter.since ms since 1970, by time of creation */
  async list(filter: { state?: string; since?: number; limit: number }): Promise<ListedJob[]> {
    const { stuckAfter } = this.#parts.settings;
    return (await this.#parts.store.list(filter)).map((job) => ({
      record: this.#record(job),
      kind: job.kind,
      user: job.user,
      stuck: isStuck(job, stuckAfter),
      kept: job.kept,
      files: job.members,
      bytes: job.bytes,
    }));
  }

  /**
   * Lets a failed job try again, with the data that it has, under the same ids.
   * @param patience how long a job that is just being ended as failed is waited for
   * @throws PacificaError `not-found`, `invalid` when it has not failed or has no data any more, `not-ready` while what was
   * visible of it is taken back
   */
  async retry(jobId: number, patience = ONCE): Promise<StateRecord> {
    const { store, log } = this.#parts;
    const run = newRun();
    const take = async (): Promise<void> => {
      if ((await store.takeFailed(jobId, run)) === undefined) throw noRetry(await this.job(jobId));
    };
    await persist(take, patience, 'can not try it again yet', mayPass);
    const claim = new Claim(store, jobId, run.runId, log);
    await claim.end({
      phase: 'queued',
      state: 'OK',
      task: 'UPLOADING',
      taskPercent: 100,
      exception: '',
      complete: false,
    });
    await enqueue(this.#parts, jobId);
    return this.state(jobId);
  }

  /**
   * Sets what get_state tells, by hand. What was running for the job can change nothing any more; when it is set to
   * FAILED before it was done, what was visible of it is taken back. One that is set to OK goes on where it was; one that
   * failed can be set to OK only as done, by whoever did the rest of it.
   * @throws PacificaError `not-found`; `precondition` when those who wait for the job would wait without end
   */
  async setState(
    jobId: number,
    changes: { state: 'OK' | 'FAILED'; task?: string; taskPercent?: number; exception?: string },
  ): Promise<StateRecord> {
    for (;;) {
      const { phase } = await this.job(jobId);
      const fails = changes.state === 'FAILED';
      if (!fails) requireOkay(jobId, phase, changes);
      const isOver = ['done', 'failed', 'finishing'].includes(phase);
      const changed = await this.#parts.store.force(jobId, phase, {
        ...(!fails && phase === 'done' && { task: LAST_TASK, taskPercent: 100 }),
        ...(!fails && { exception: '' }),
        ...changes,
        complete: fails || phase === 'done' || phase === 'failed',
        ...(fails && !isOver && { phase: 'failing' }),
      });
      // it got further meanwhile: other rules may hold
      if (!changed) continue;
      // what ran for it has lost it: another run goes on where it was, or takes back what is visible
      if (WORK.includes(phase) || (fails && !isOver)) await enqueue(this.#parts, jobId);
      break;
    }
    return this.state(jobId);
  }

  /** Jobs as an admin of the queue sees them. */
  readonly rows: JobRows = {
    cancel: async (id, reason) => {
      const { phase } = await this.job(Number(id));
      if (await this.#parts.store.cancel(Number(id), reason)) return true;
      throw new PacificaError('precondition', `ingest job ${id} can not be cancelled, ${WHY_NOT[phase]}`);
    },
    reopen: async (id) => {
      const { phase } = await this.job(Number(id));
      if (phase === 'failed') await this.retry(Number(id));
      return phase !== 'done' && phase !== 'receiving';
    },
  };

  /**
   * Removes the data that failed jobs have kept.
   * @param before ms since 1970: only of jobs that failed earlier; by default of those whose time is up
   * @yields each job when its data is removed
   * @throws AggregateError at the end, when that of some could not be
   */
  async *purge(before = Date.now() - this.#parts.settings.keepFailed): AsyncGenerator<IngestJob> {
    const errors: unknown[] = [];
    yield* purgeFailed(this.#parts, before, errors);
    // what no job knows of any more
    await this.sweep();
    await removeOrphans(this.#parts);
    if (errors.length > 0) throw new AggregateError(errors);
  }

  /**
   * Puts right what processes that died have left: uploads that nobody receives any more become FAILED, jobs that nobody
   * works on are put on the queue, and one that removes what nobody needs. To be called at start and every few seconds.
   */
  async sweep(): Promise<void> {
    await this.#sweeper.sweep();
  }

  #record(job: IngestJob, retries?: JobRetries): StateRecord {
    return stateRecord(job, this.#parts.settings.stuckAfter, retries);
  }
}

/** Those who wait for the end go by this task at 100 per cent (wire.md, ingest part). */
const LAST_TASK: Task = 'ingest metadata';

/** @throws PacificaError `precondition` for a job that would be OK with nobody at work on it */
function requireOkay(id: number, phase: IngestPhase, changes: { task?: string; taskPercent?: number }): void {
  if (phase === 'receiving') {
    throw new PacificaError('precondition', `the bundle of ingest job ${id} is still coming in`, {
      hint: 'wait for its end, or give it up with --state FAILED',
    });
  }
  if (phase === 'failing') throw beingEnded('precondition', id);
  if (phase === 'failed' && !(changes.task === LAST_TASK && changes.taskPercent === 100)) {
    throw new PacificaError('precondition', `ingest job ${id} has failed, and nothing works on it`, {
      hint: `"pacifica ingest retry ${id}" goes on; where the rest was done by hand, say so: --task '${LAST_TASK}' --task-percent 100`,
    });
  }
}

function beingEnded(code: 'precondition' | 'not-ready', id: number): PacificaError {
  return new PacificaError(code, `ingest job ${id} is still being ended: what was visible of it is taken back`, {
    hint: 'a daemon or "pacifica worker" does that in seconds: see that one runs, and try again',
  });
}

/** Why a job in each phase is not, or no more, to be cancelled. */
const WHY_NOT: Record<IngestPhase, string> = {
  receiving: 'it has just come in',
  queued: 'it is being recorded by now',
  recording: 'its files are in the archive and their metadata is being recorded',
  finishing: 'all of it is archived and recorded',
  done: 'it has ended well',
  failing: 'it has failed',
  failed: 'it has failed',
};

function noRetry({ id, state, phase, kept }: IngestJob): PacificaError {
  if (phase === 'failed' && !kept) {
    return new PacificaError('invalid', `ingest job ${id} has no data any more`, { hint: 'upload it again' });
  }
  // or it was, a moment ago
  if (phase === 'failing' || phase === 'failed') {
    return beingEnded('not-ready', id);
  }
  if (state === 'FAILED') {
    return new PacificaError(
      'invalid',
      `ingest job ${id} has not failed: all of it is archived and recorded, and FAILED was set by hand`,
      {
        hint: `set it back: "pacifica ingest job --job-id ${id} --state OK"`,
      },
    );
  }
  return new PacificaError('invalid', `ingest job ${id} has not failed, its state is ${state}`);
}

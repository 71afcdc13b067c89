import type { JobWithState } from 'agenda';
import { PacificaError } from '../lib/errors.js';
import type { JobKind, JobRows } from '../lib/job-queue.js';
import type { QueueBackend } from './backend.js';
import type { JobData } from './store.js';

/**
 * - `queued`: due, waits for a free slot
 * - `scheduled`: waits for its time
 * - `running`: a worker has it
 * - `failed`: the last run failed; it is tried again at `nextRunAt` if there is one
 * - `completed`: done, and kept to be looked at
 */
export const jobStates = ['queued', 'scheduled', 'running', 'failed', 'completed'] as const;
export type JobState = (typeof jobStates)[number];

/** What an admin sees of a job. */
export interface JobView {
  readonly kind: string;
  /** the row of the domain that it is about, or its name when it is about none */
  readonly id: string;
  readonly state: JobState;
  /** tries that failed in a row */
  readonly failures: number;
  /** why the last one did */
  readonly error: string | undefined;
  /** host, process id and more of who has it or had it last */
  readonly worker: string | undefined;
  readonly nextRunAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
}

export interface JobListOptions {
  readonly kind?: string;
  readonly state?: JobState;
  readonly limit?: number;
  readonly skip?: number;
}

/** What an admin who cancels a job is taken to have said. */
const CANCELLED = 'cancelled by an admin';

/** Looking into the queue, and meddling with it, from outside. */
export class JobAdmin {
  readonly #backend: QueueBackend;
  readonly #add: (kind: JobKind, id: string) => Promise<void>;

  /** @param add puts a job, to run now */
  constructor(backend: QueueBackend, add: (kind: JobKind, id: string) => Promise<void>) {
    this.#backend = backend;
    this.#add = add;
  }

  /** @returns jobs in order of their times, and how many there are in all */
  async list({ kind, state, limit = 100, skip = 0 }: JobListOptions): Promise<{ jobs: JobView[]; total: number }> {
    const query = { name: kind, state, limit, skip, sort: { nextRunAt: 'asc', lastRunAt: 'asc' } } as const;
    const { jobs, total } = await this.#backend.repository.queryJobs(query);
    return { jobs: jobs.map(viewOf), total };
  }

  /** @throws PacificaError `not-found` */
  async show(kind: JobKind, id: string): Promise<JobView> {
    const job = await this.#find(kind, id);
    if (job === undefined) throw missing(kind, id);
    return job;
  }

  async #find(kind: JobKind, id: string): Promise<JobView | undefined> {
    const { jobs } = await this.#backend.repository.queryJobs({ id: this.#backend.store.idOf(kind, id) });
    return jobs[0] === undefined ? undefined : viewOf(jobs[0]);
  }

  /**
   * Runs a job now that waits for its next try, or has failed for good.
   * @param rows what it is about; undefined when that is no row: what the queue has of it decides then
   * @throws PacificaError `not-found`; `precondition` when it runs already, or there is nothing to try again
   */
  async retry(kind: JobKind, id: string, rows: JobRows | undefined): Promise<void> {
    const job = await this.#find(kind, id);
    if (rows === undefined && job === undefined) throw missing(kind, id);
    if (job?.state === 'running') {
      throw new PacificaError('precondition', `${kind} job ${id} runs now`, {
        hint: `see how it ends with "pacifica jobs show ${kind} ${id}"`,
      });
    }
    if (!(rows === undefined ? job?.state !== 'completed' : await rows.reopen(id))) {
      throw new PacificaError('precondition', `${kind} job ${id} has ended well, there is nothing to try again`);
    }
    await this.#add(kind, id);
  }

  /**
   * Ends the work that a job is about, as failed; a run of it is told to leave. The job is removed, or runs once more to
   * take back what became visible.
   * @param rows what it is about; undefined when that is no row
   * @throws PacificaError `not-found`; `precondition` when it has ended, is too far to be taken back, or is about no row:
   * it would be put again
   */
  async cancel(kind: JobKind, id: string, rows: JobRows | undefined): Promise<void> {
    if (rows === undefined) {
      const { state } = await this.show(kind, id);
      throw new PacificaError(
        'precondition',
        `${kind} job ${id} can not be cancelled, ${state === 'completed' ? 'it has ended' : 'it would come again'}`,
        {
          hint:
            kind === 'verify'
              ? 'to verify no more, empty [archiveinterface] verify_schedule and restart the daemons'
              : 'it removes nothing but what nobody needs any more',
        },
      );
    }
    if (await rows.cancel(id, CANCELLED)) await this.#add(kind, id);
    else await this.#backend.repository.removeJobs({ id: this.#backend.store.idOf(kind, id) });
  }

  /** Removes what finished before a time, well or badly. @returns how many */
  async purge(before: Date): Promise<number> {
    return this.#backend.store.removeFinished(before);
  }
}

function missing(kind: string, id: string): PacificaError {
  return new PacificaError('not-found', `there is no ${kind} job ${id}`, {
    hint: 'finished jobs are removed after a time',
  });
}

function viewOf(job: JobWithState): JobView {
  return {
    kind: job.name,
    id: (job.data as JobData).id,
    // the queue makes no repeating ones, and pausing is told beside the state
    state: job.state === 'repeating' || job.state === 'paused' ? 'scheduled' : job.state,
    failures: job.failCount ?? 0,
    error: job.failReason,
    worker: job.lastModifiedBy,
    nextRunAt: job.nextRunAt ?? undefined,
    startedAt: job.lastRunAt,
    finishedAt: job.lastFinishedAt,
  };
}

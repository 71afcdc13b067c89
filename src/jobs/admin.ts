import type { JobWithState } from 'agenda';
import { PacificaError } from '../lib/errors.js';
import type { QueueBackend } from './backend.js';
import type { JobData } from './store.js';

/**
 * - `queued`: due, waits for a free slot
 * - `scheduled`: waits for its time
 * - `running`: a worker has it
 * - `failed`: the last run failed; it is tried again at `nextRunAt` if there is one
 * - `completed`: done, and kept to be looked at
 */
export type JobState = 'queued' | 'scheduled' | 'running' | 'failed' | 'completed';

/** What an admin sees of a job. */
export interface JobView {
  readonly kind: string;
  /** the row of the domain that it is about */
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

/** Looking into the queue, and meddling with it, from outside. */
export class JobAdmin {
  readonly #backend: QueueBackend;

  constructor(backend: QueueBackend) {
    this.#backend = backend;
  }

  /** @returns jobs in order of their times, and how many there are in all */
  async list({ kind, state, limit = 100, skip = 0 }: JobListOptions): Promise<{ jobs: JobView[]; total: number }> {
    const query = { name: kind, state, limit, skip, sort: { nextRunAt: 'asc', lastRunAt: 'asc' } } as const;
    const { jobs, total } = await this.#backend.repository.queryJobs(query);
    return { jobs: jobs.map(viewOf), total };
  }

  /** @throws PacificaError `not-found` */
  async show(kind: string, id: string): Promise<JobView> {
    const { jobs } = await this.#backend.repository.queryJobs({ id: this.#backend.store.idOf(kind, id) });
    if (jobs[0] === undefined) throw new PacificaError('not-found', `there is no ${kind} job ${id}`);
    return viewOf(jobs[0]);
  }

  /**
   * Takes a job out of the queue; one that runs is told to leave when it renews its lock. The row that it is about stays
   * as it is, and gets a job again when a daemon starts and finds it unfinished.
   * @throws PacificaError `not-found`
   */
  async cancel(kind: string, id: string): Promise<void> {
    const removed = await this.#backend.repository.removeJobs({ id: this.#backend.store.idOf(kind, id) });
    if (removed === 0) throw new PacificaError('not-found', `there is no ${kind} job ${id}`);
  }

  /** Removes what finished before a time, well or badly. @returns how many */
  async purge(before: Date): Promise<number> {
    return this.#backend.store.removeFinished(before);
  }
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

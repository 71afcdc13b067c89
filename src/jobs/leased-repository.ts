import type {
  JobId,
  JobParameters,
  JobRepository,
  JobRepositoryOptions,
  JobsOverview,
  JobsQueryOptions,
  JobsResult,
  RemoveJobsOptions,
} from 'agenda';
import { PacificaError } from '../lib/errors.js';
import type { Leases } from './leases.js';

/**
 * A repository around a repository: what Agenda's processor writes about jobs that it runs goes through leases, so a
 * run that lost its lock changes nothing, jobs are taken when they are due and not before, and nothing is forgotten
 * that was put while a job ran. Everything else is passed on.
 */
export class LeasedRepository implements JobRepository {
  readonly #inner: JobRepository;
  readonly #leases: Leases;
  readonly #remove: boolean;

  /** @param remove jobs that succeeded are removed at once */
  constructor(inner: JobRepository, leases: Leases, remove: boolean) {
    this.#inner = inner;
    this.#leases = leases;
    this.#remove = remove;
  }

  async getNextJobToRun(kind: string): Promise<JobParameters | undefined> {
    return this.#leases.take(kind);
  }

  async saveJobState(job: JobParameters): Promise<void> {
    const lease = this.#leases.of(job);
    if (lease === undefined)
      throw new PacificaError('aborted', `job ${job.name} ${job._id ?? ''} is not ours any more`);
    if (job.lockedAt === undefined) return this.#leases.end(lease, job, this.#remove);
    // the start was written when the job was taken
    if (lease.begun) return this.#leases.renew(lease, job.lockedAt);
    lease.begun = true;
  }

  /** Agenda does not wait for this, nor does it hear of a failure. */
  async unlockJob(job: JobParameters): Promise<void> {
    const lease = this.#leases.of(job);
    if (lease !== undefined) await this.#leases.release(lease);
  }

  async unlockJobs(ids: (JobId | string)[]): Promise<void> {
    const unlocked = this.#leases.held.filter(({ id, begun }) => !begun && ids.some((one) => one.toString() === id));
    await Promise.all(unlocked.map((lease) => this.#leases.release(lease)));
  }

  async connect(): Promise<void> {
    await this.#inner.connect();
  }

  async queryJobs(options?: JobsQueryOptions): Promise<JobsResult> {
    return this.#inner.queryJobs(options);
  }

  async getJobsOverview(): Promise<JobsOverview[]> {
    return this.#inner.getJobsOverview();
  }

  async getDistinctJobNames(): Promise<string[]> {
    return this.#inner.getDistinctJobNames();
  }

  async getJobById(id: string): Promise<JobParameters | null> {
    return this.#inner.getJobById(id);
  }

  async getQueueSize(): Promise<number> {
    return this.#inner.getQueueSize();
  }

  async removeJobs(options: RemoveJobsOptions): Promise<number> {
    return this.#inner.removeJobs(options);
  }

  async saveJob<DATA = unknown>(
    job: JobParameters<DATA>,
    options: JobRepositoryOptions | undefined,
  ): Promise<JobParameters<DATA>> {
    return this.#inner.saveJob(job, options);
  }

  async lockJob(job: JobParameters, options: JobRepositoryOptions | undefined): Promise<JobParameters | undefined> {
    return this.#inner.lockJob(job, options);
  }

  async disableJobs(options: RemoveJobsOptions): Promise<number> {
    return this.#inner.disableJobs(options);
  }

  async enableJobs(options: RemoveJobsOptions): Promise<number> {
    return this.#inner.enableJobs(options);
  }

  async purgeAllJobs(): Promise<number> {
    return this.#inner.purgeAllJobs();
  }
}

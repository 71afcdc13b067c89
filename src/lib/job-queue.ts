/**
 * Background work as the domain sees it: a name, an id, and a promise that the handler is called until it is done.
 * The truth about the work itself is in the tables of the domain; the queue is only the alarm clock.
 * jobs/ implements it; wiring.ts brings the two together.
 */

/**
 * Kinds of work. Each has one handler, and a process takes jobs of the kinds that it has the files for.
 *
 * - `ingest`, `cart`: one job a row of the domain
 * - `verify`: the round through the archive, one job
 * - `ingest-purge`, `cart-purge`: removal of what nobody needs any more, one job for each sort of it
 */
export const jobKinds = ['ingest', 'cart', 'verify', 'ingest-purge', 'cart-purge'] as const;
export type JobKind = (typeof jobKinds)[number];

export interface JobQueue {
  /**
   * Puts work on the queue. Called twice for one kind and id before it ran, there is still one job, which starts at the
   * sooner of the two times. Called while that job runs, it runs once more afterwards: never twice at a time.
   * Resolves when the job is stored: it survives a crash from then on.
   * @param id the row in the domain's own table that the work is about, or the name of work that is about none
   * @param options.delay ms to wait before the first start
   */
  add(kind: JobKind, id: string, options?: { delay?: number }): Promise<void>;

  /**
   * Sees to it that each id has a job that waits or runs: for rows that are not finished and may have lost theirs.
   * Those that have one are left alone. Any number of processes may ask at once, there is one job afterwards.
   * @param unfinished tells which of some ids still need one. It is asked of those that have none: their rows were read
   * before, and may have been finished by a job that has ended since
   */
  ensure(kind: JobKind, ids: readonly string[], unfinished: StillUnfinished): Promise<void>;

  /** @returns undefined when the job has not failed since it was put, or there is none */
  retries(kind: JobKind, id: string): Promise<JobRetries | undefined>;
}

/** @returns those of the ids whose rows are not finished */
export type StillUnfinished = (ids: readonly string[]) => Promise<readonly string[]>;

/** Where a job stands that failed and is tried again. */
export interface JobRetries {
  /** tries that failed in a row */
  readonly tries: number;
  /** when it is tried again; undefined while it runs, and when it is not */
  readonly next: Date | undefined;
}

/** What a handler is told about the run that it is. */
export interface JobRun {
  /** number of this try, from 1; runs that ended by a stop or a crash of the process do not count */
  readonly attempt: number;
  /** aborted when the process is to stop or this run has lost its lock: leave at the next safe point by throwing `signal.reason` */
  readonly signal: AbortSignal;
}

/**
 * Does the work of one job. Idempotent: it may be called again after a crash at any point, and ends the same.
 * Throws what may pass (see `mayPass`) to be called again later with back-off; any other error it has to turn into
 * a state of its own row before it returns.
 */
export type JobHandler = (id: string, run: JobRun) => Promise<void>;

/** The rows that jobs of one kind are about, for an admin who meddles with a job: the domain says what that means. */
export interface JobRows {
  /**
   * Ends the work on a row as failed. What runs for it can change nothing any more.
   * @param reason for whoever asks how the row is
   * @returns whether the handler is to be called once more, to take back what became visible
   * @throws PacificaError `not-found`; `precondition` when it has ended already, or is too far to be taken back
   */
  cancel(id: string, reason: string): Promise<boolean>;

  /**
   * Makes a row that has failed one that waits for work again; any other one is left as it is.
   * @returns whether it waits for work now
   * @throws PacificaError `not-found`; `invalid` when it has nothing left to work on
   */
  reopen(id: string): Promise<boolean>;
}

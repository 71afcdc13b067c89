/**
 * Background work as the domain sees it: a name, an id, and a promise that the handler is called until it is done.
 * The truth about the work itself is in the tables of the domain; the queue is only the alarm clock.
 * jobs/ implements it; wiring.ts brings the two together.
 */

/** Kinds of work. Each has one handler. */
export type JobKind = 'ingest' | 'cart' | 'cart-purge';

export interface JobQueue {
  /**
   * Puts work on the queue. Called twice for one kind and id before it ran, there is still one job, which starts at the
   * sooner of the two times. Called while that job runs, it runs once more afterwards: never twice at a time.
   * Resolves when the job is stored: it survives a crash from then on.
   * @param id the row in the domain's own table that the work is about
   * @param options.delay ms to wait before the first start
   */
  add(kind: JobKind, id: string, options?: { delay?: number }): Promise<void>;
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

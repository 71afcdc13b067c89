import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { messageOf, PacificaError } from '../lib/errors.js';
import { Slots } from '../lib/slots.js';
import { processMark } from '../lib/process-mark.js';
import type { IngestJob, IngestJobs, JobChanges, RunIdentity } from '../storage/database/ingest-jobs.js';
import { rankOf, type Task } from './state.js';

/** ms between two looks at what there is to write */
const TICK = 1000;
/** ticks without progress after which a sign of life is written */
const BEAT_TICKS = 3;
/** 100 is for what is safe: whoever reads it on the last task stops looking */
const NEARLY = 99.999;

/** @returns the name of a run that has not been there before */
export function newRun(): RunIdentity {
  return { runId: randomUUID(), process: processMark() };
}

/**
 * A run's hold on its job: writes what happens into the row, gives signs of life, and notices when the job is another
 * run's by now. Call {@link stop} when the work ends.
 */
export class Claim {
  readonly jobId: number;
  readonly runId: string;
  /** aborted when the job is no longer ours, or the run is to stop */
  readonly signal: AbortSignal;
  readonly #store: IngestJobs;
  readonly #log: Logger;
  readonly #lost = new AbortController();
  readonly #writes = new Slots(1);
  readonly #timer: NodeJS.Timeout;
  #percent: number | undefined;
  #moves = false;
  #idle = 0;
  #task: string;
  /** how far the job ever was (rankOf) */
  #furthest: number;

  /** @param options.from where the job stands: what comes before that is done once more, and is no progress */
  constructor(
    store: IngestJobs,
    jobId: number,
    runId: string,
    log: Logger,
    { from, stop }: { from?: Pick<IngestJob, 'task' | 'taskPercent'>; stop?: AbortSignal } = {},
  ) {
    this.#task = from?.task ?? '';
    this.#furthest = from === undefined ? -Infinity : rankOf(from.task, from.taskPercent);
    this.#store = store;
    this.jobId = jobId;
    this.runId = runId;
    this.#log = log;
    this.signal = stop === undefined ? this.#lost.signal : AbortSignal.any([stop, this.#lost.signal]);
    this.#timer = setInterval(() => void this.#tick(), TICK).unref();
  }

  /**
   * Begins a task, or ends it (percent 100). What a wait was for is forgotten. A power cut may lose it: where the work
   * goes on after one is told by what {@link update} wrote.
   */
  async task(task: Task, taskPercent = 0): Promise<void> {
    await this.#change({ task, taskPercent, exception: '' }, false);
  }

  /** Tells how far the task is, 0 to 100. It is written within a second. */
  percent(percent: number): void {
    this.#percent = Math.min(percent, NEARLY);
  }

  /** Tells that the task goes on where nobody knows how far it is. */
  moves(): void {
    this.#moves = true;
  }

  /** Writes changes now. @throws PacificaError `aborted` when the job is no longer ours */
  async update(changes: JobChanges): Promise<void> {
    await this.#change(changes, true);
  }

  async #change(changes: JobChanges, durable: boolean): Promise<void> {
    this.#percent = undefined;
    this.#task = changes.task ?? this.#task;
    const further = changes.taskPercent !== undefined && this.#isFurther(changes.taskPercent);
    await this.#write(() => this.#store.update(this.jobId, this.runId, changes, { further, durable }));
  }

  /** Writes the last changes and lets go of the job. */
  async end(changes: JobChanges): Promise<void> {
    await this.stop();
    await this.update({ ...changes, runId: null });
  }

  /** Lets go of the job undone, so that the next run need not wait; when that fails it waits a little. */
  async release(): Promise<void> {
    try {
      await this.stop();
      await this.#store.release(this.jobId, this.runId);
    } catch (error) {
      this.#log.warn({ job: this.jobId }, `can not let go of the job: ${messageOf(error)}`);
    }
  }

  /** Ends the signs of life. May be called twice. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writes.run(async () => undefined);
  }

  async #tick(): Promise<void> {
    this.#idle += 1;
    if (this.#percent === undefined && !this.#moves && this.#idle < BEAT_TICKS) return;
    try {
      await this.#write(async () => {
        const percent = this.#percent;
        this.#percent = undefined;
        const moves = this.#moves;
        this.#moves = false;
        if (percent === undefined && !moves) await this.#store.beat(this.jobId, this.runId);
        else {
          const further = moves || (percent !== undefined && this.#isFurther(percent));
          await this.#store.progress(this.jobId, this.runId, percent, further);
        }
      });
    } catch (error) {
      // the work itself meets the same fault when it writes what matters
      this.#log.warn({ job: this.jobId }, `can not write the progress: ${messageOf(error)}`);
    }
  }

  #isFurther(percent: number): boolean {
    const rank = rankOf(this.#task, percent);
    if (rank <= this.#furthest) return false;
    this.#furthest = rank;
    return true;
  }

  async #write(work: () => Promise<void>): Promise<void> {
    this.#idle = 0;
    try {
      await this.#writes.run(work);
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'aborted') {
        clearInterval(this.#timer);
        this.#lost.abort(error);
      }
      throw error;
    }
  }
}

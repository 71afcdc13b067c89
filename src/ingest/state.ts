import type { JobRetries } from '../lib/job-queue.js';
import type { IngestJob } from '../storage/database/ingest-jobs.js';

/** The tasks of a job, in their order (wire.md, ingest part). A move has `move files` where an upload has `ingest files`. */
export type Task =
  'UPLOADING' | 'open tar' | 'load metadata' | 'Policy Validation' | 'ingest files' | 'move files' | 'ingest metadata';

const ORDER: readonly string[] = [
  'UPLOADING',
  'open tar',
  'load metadata',
  'Policy Validation',
  'ingest files',
  'ingest metadata',
] satisfies Task[];

/** @returns a number that grows with how far a job is */
export function rankOf(task: string, percent: number): number {
  return ORDER.indexOf(task === 'move files' ? 'ingest files' : task) * 1000 + percent;
}

/**
 * @param stuckAfter ms without progress
 * @returns whether a job that has not come to an end makes no progress
 */
export function isStuck({ complete, progressed }: IngestJob, stuckAfter: number): boolean {
  return !complete && Date.now() - progressed > stuckAfter;
}

/** What get_state and both POSTs answer with, keys in the order of the original (wire.md, ingest part). */
export interface StateRecord {
  job_id: number;
  /** `OK` or `FAILED` */
  state: string;
  task: string;
  /** 0 to 100 with five decimals, as text: what the original's NUMERIC(10,5) looks like */
  task_percent: string;
  /** whether it has come to an end, a good or a bad one */
  complete: boolean;
  /** UTC, `2018-01-25 17:00:32.120000` */
  updated: string;
  created: string;
  exception: string;
  /** of a job that waits for its next try, beyond the original's record: tries so far */
  tries?: number;
  /** when it is tried again, UTC; absent while it is being tried */
  next_try?: string;
}

/**
 * @param stuckAfter ms without progress after which a job is told to be stuck
 * @param retries of a job that waits for its next try
 */
export function stateRecord(job: IngestJob, stuckAfter: number, retries?: JobRetries): StateRecord {
  return {
    job_id: job.id,
    state: job.state,
    task: job.task,
    task_percent: job.taskPercent.toFixed(5),
    complete: job.complete,
    updated: pythonTime(job.updated),
    created: pythonTime(job.created),
    exception: isStuck(job, stuckAfter) ? stuckText(job) : job.exception,
    ...(retries !== undefined && { tries: retries.tries }),
    ...(retries?.next !== undefined && { next_try: pythonTime(retries.next.getTime()) }),
  };
}

function stuckText({ progressed, exception }: IngestJob): string {
  const text = `stuck: no progress since ${pythonTime(progressed)} UTC`;
  return exception === '' ? text : `${text}; ${exception}`;
}

/** As Python prints a datetime: a space, microseconds, no zone. */
function pythonTime(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', '000');
}

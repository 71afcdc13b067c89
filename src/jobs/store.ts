import { createHash } from 'node:crypto';
import { type JobId, type JobParameters, toJobId } from 'agenda';

/** What a job carries: the id of the domain's row that it is about, or its name when it is about none. */
export interface JobData {
  readonly id: string;
}

/** A time at which a kind has something to do. */
export interface DueTime {
  readonly kind: string;
  readonly at: Date;
}

/** What {@link JobStore.finish} found. */
export interface Finished {
  /** false: the lock was lost before, nothing was changed */
  readonly held: boolean;
  /** when the job runs again; undefined when it is done with */
  readonly nextRunAt: Date | undefined;
}

/**
 * The queue's own writes, each of them atomic. Agenda's repository has them not, or in a form that loses jobs: it
 * forgets what was added while a job ran, and a worker that lost its lock still writes.
 *
 * A run is known by its token, a text that no other run ever has; it stands in `lastModifiedBy` while the job is locked.
 * Every write of a run demands that it is still there. All of them may be repeated when their result got lost.
 */
export interface JobStore {
  /** @returns the id of the one job of a kind and id */
  idOf(kind: string, id: string): JobId;

  /**
   * Stores one job for each id, at the latest of `at`.
   * - There is none, or it is finished: it will run at `at`, as a first attempt.
   * - It waits: it runs at `at` if that is sooner.
   * - It runs: it runs once more afterwards, not before `at`.
   * @param onlyIdle leave those alone that wait or run
   */
  put(kind: string, ids: readonly string[], at: Date, onlyIdle: boolean): Promise<void>;

  /**
   * Locks the next job that is due at `now`, or whose lock is not younger than `lockDeadline`, and notes its start.
   * @returns undefined when there is none
   */
  take(kind: string, now: Date, lockDeadline: Date, token: string): Promise<JobParameters | undefined>;

  /** Makes the lock as young as `now`. @returns false when it is lost */
  renew(id: JobId, token: string, now: Date): Promise<boolean>;

  /**
   * Unlocks the job after a run, with what the run left in `job` (nextRunAt, failCount, failReason, ...). It runs again
   * at the sooner one of `job.nextRunAt` and what was put while it ran.
   * @param remove remove it if it does not run again
   */
  finish(job: JobParameters, token: string, remove: boolean): Promise<Finished>;

  /** Hands a job back undone, to run at `at`. Nothing happens when the lock is lost. */
  release(id: JobId, token: string, at: Date): Promise<void>;

  /** @returns for each kind when the first of its waiting jobs is due, and when the first one after `now` */
  due(kinds: readonly string[], now: Date): Promise<DueTime[]>;

  /** Removes jobs that finished before a time, well or badly. @returns how many */
  removeFinished(before: Date): Promise<number>;
}

/**
 * Makes {@link JobStore.idOf}: the same in all processes, so the primary key keeps it from being there twice.
 * @param digits 32 for a UUID, 24 for an ObjectId of MongoDB
 */
export function jobIdOf(kind: string, id: string, digits: 24 | 32): JobId {
  const hex = createHash('sha256').update(`${kind}\0${id}`).digest('hex').slice(0, digits);
  return toJobId(digits === 24 ? hex : hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'));
}

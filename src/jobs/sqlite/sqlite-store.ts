import type { JobId, JobParameters } from 'agenda';
import { QueryTypes } from 'sequelize';
import type { Database } from '../../storage/database/database.js';
import { type DueTime, type Finished, type JobData, jobIdOf, type JobStore } from '../store.js';
import { type Columns, jobOfRow, type JobRow, timeOf } from './job-row.js';
import { NEXT_JOB } from './sqlite-repository.js';

/** jobs in one statement: more would keep other processes from writing for long */
const BATCH = 500;

/** the run with this token still has its lock */
const HELD = 'id = $id AND last_modified_by = $token AND locked_at IS NOT NULL';

/** The queue's own writes on SQLite: one statement each. */
export class SqliteJobStore implements JobStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  idOf(kind: string, id: string): JobId {
    return jobIdOf(kind, id, 32);
  }

  async put(kind: string, ids: readonly string[], at: Date, onlyIdle: boolean): Promise<void> {
    for (let start = 0; start < ids.length; start += BATCH) {
      const jobs = ids.slice(start, start + BATCH).map((id): [string, string] => {
        const data: JobData = { id };
        return [this.idOf(kind, id), JSON.stringify(data)];
      });
      await this.#database.writeStatement(
        `INSERT INTO pacifica_job AS job (id, name, type, priority, data, next_run_at)
         SELECT value ->> 0, $kind, 'normal', 0, value ->> 1, $at FROM json_each($jobs) WHERE true
         ON CONFLICT (id) DO UPDATE SET
           next_run_at = min(coalesce(job.next_run_at, excluded.next_run_at), excluded.next_run_at),
           fail_count = iif(${IDLE}, NULL, job.fail_count),
           fail_reason = iif(${IDLE}, NULL, job.fail_reason),
           failed_at = iif(${IDLE}, NULL, job.failed_at)
         ${onlyIdle ? `WHERE ${IDLE}` : ''}`,
        { kind, at: at.getTime(), jobs: JSON.stringify(jobs) },
      );
    }
  }

  async take(kind: string, now: Date, lockDeadline: Date, token: string): Promise<JobParameters | undefined> {
    const [row] = await this.#note<JobRow>(
      // what was put while a worker that died ran it stays, to run once more afterwards
      `UPDATE pacifica_job SET next_run_at = iif(locked_at IS NULL, NULL, next_run_at),
         locked_at = $now, last_run_at = $now, last_modified_by = $token
       WHERE id = (${NEXT_JOB}) RETURNING *`,
      { name: kind, due: now.getTime(), expired: lockDeadline.getTime(), now: now.getTime(), token },
    );
    return row === undefined ? undefined : jobOfRow(row);
  }

  async renew(id: JobId, token: string, now: Date): Promise<boolean> {
    const rows = await this.#note(`UPDATE pacifica_job SET locked_at = $now WHERE ${HELD} RETURNING id`, {
      id,
      token,
      now: now.getTime(),
    });
    return rows.length > 0;
  }

  async finish(job: JobParameters, token: string, remove: boolean): Promise<Finished> {
    const id = job._id ?? '';
    const next = timeOf(job.nextRunAt);
    if (remove && next === null) {
      const removed = await this.#note(`DELETE FROM pacifica_job WHERE ${HELD} AND next_run_at IS NULL RETURNING id`, {
        id,
        token,
      });
      if (removed.length > 0) return { held: true, nextRunAt: undefined };
    }
    const [row] = await this.#note<Pick<JobRow, 'next_run_at'>>(
      `UPDATE pacifica_job SET locked_at = NULL, next_run_at = min(coalesce(next_run_at, $next), coalesce($next, next_run_at)),
         fail_count = $failCount, fail_reason = $failReason, failed_at = $failedAt, last_finished_at = $finishedAt
       WHERE ${HELD} RETURNING next_run_at`,
      {
        id,
        token,
        next,
        failCount: job.failCount ?? null,
        failReason: job.failReason ?? null,
        failedAt: timeOf(job.failedAt),
        finishedAt: timeOf(job.lastFinishedAt),
      },
    );
    const again = row?.next_run_at ?? null;
    return { held: row !== undefined, nextRunAt: again === null ? undefined : new Date(again) };
  }

  async release(id: JobId, token: string, at: Date): Promise<void> {
    await this.#note(
      `UPDATE pacifica_job SET locked_at = NULL, next_run_at = min(coalesce(next_run_at, $at), $at) WHERE ${HELD}`,
      { id, token, at: at.getTime() },
    );
  }

  async due(kinds: readonly string[], now: Date): Promise<DueTime[]> {
    const first = `SELECT next_run_at FROM pacifica_job WHERE name = kinds.value AND locked_at IS NULL AND disabled = 0`;
    const rows = await this.#database.sequelize.query<{ kind: string; first: number | null; later: number | null }>(
      `SELECT kinds.value AS kind, (${first} AND next_run_at IS NOT NULL ORDER BY next_run_at LIMIT 1) AS first,
         (${first} AND next_run_at > $now ORDER BY next_run_at LIMIT 1) AS later FROM json_each($kinds) AS kinds`,
      { bind: { kinds: JSON.stringify(kinds), now: now.getTime() }, type: QueryTypes.SELECT },
    );
    return rows.flatMap(({ kind, first, later }) =>
      [first, later].flatMap((at) => (at === null ? [] : [{ kind, at: new Date(at) }])),
    );
  }

  async removeFinished(before: Date): Promise<number> {
    for (let total = 0; ;) {
      const removed = await this.#note(
        `DELETE FROM pacifica_job WHERE id IN (SELECT id FROM pacifica_job
           WHERE locked_at IS NULL AND next_run_at IS NULL AND last_finished_at < $before LIMIT ${BATCH}) RETURNING id`,
        { before: before.getTime() },
      );
      total += removed.length;
      if (removed.length < BATCH) return total;
    }
  }

  /** What a run writes. When a power cut takes it back the job runs again, as after any other end of its worker. */
  async #note<Row extends object>(sql: string, bind: Columns): Promise<Row[]> {
    return this.#database.writeStatement<Row>(sql, bind, { durable: false });
  }
}

/** nothing is to be done for the job */
const IDLE = 'job.locked_at IS NULL AND job.next_run_at IS NULL';

import { EventEmitter } from 'node:events';
import { PostgresBackend, PostgresJobRepository } from '@agendajs/postgres-backend';
import type { JobId, JobParameters, JobRepository, NotificationChannel } from 'agenda';
import { QueryTypes } from 'sequelize';
import { Database } from '../storage/database/database.js';
import { PostgresClient } from '../storage/database/postgres-client.js';
import type { BackendOptions, QueueBackend } from './backend.js';
import { type DueTime, type Finished, jobIdOf, type JobStore } from './store.js';

const TABLE = 'pacifica_job';

/** held until the end of a transaction */
const LOCK = `SELECT pg_advisory_xact_lock(hashtext('${TABLE}'))`;

/** jobs in one statement */
const BATCH = 500;

/** the run with this token still has its lock */
const HELD = 'id = $id AND last_modified_by = $token AND locked_at IS NOT NULL';

/** Agenda's backend for PostgreSQL, with the queue's own writes on the same table. */
export class PostgresQueueBackend implements QueueBackend {
  readonly name = 'PostgreSQL';
  readonly lookEvery = undefined;
  readonly #options: BackendOptions;
  readonly #url: string;
  readonly #agenda: PostgresBackend;
  /** opened here when the jobs are not in the domain's database */
  #own: Database | undefined;

  constructor(options: BackendOptions) {
    this.#options = options;
    this.#url = options.url === '' ? options.database.url : options.url;
    this.#agenda = new PostgresBackend({
      poolConfig: {
        connectionString: this.#url,
        max: 5,
        connectionTimeoutMillis: 10_000,
        keepAlive: true,
        application_name: 'pacifica-jobs',
        Client: PostgresClient,
      },
      tableName: TABLE,
      channelName: TABLE,
      logTableName: 'pacifica_job_log',
    });
    const { repository } = this.#agenda;
    const pool: unknown = repository instanceof PostgresJobRepository ? repository.getPool() : undefined;
    // without a listener an idle connection that breaks ends the process
    if (pool instanceof EventEmitter) pool.on('error', options.onError);
    // it looks for a job with the same unique key, and inserts one when there is none: one process after the other
    const save = repository.saveJob.bind(repository);
    repository.saveJob = (job, saveOptions) =>
      job.unique === undefined ? save(job, saveOptions) : this.#alone(() => save(job, saveOptions));
  }

  /** Runs `work` while no other process runs such. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#database.write(async (transaction) => {
      await this.#database.sequelize.query(LOCK, { transaction });
      return work();
    });
  }

  get repository(): JobRepository {
    return this.#agenda.repository;
  }

  get channel(): NotificationChannel | undefined {
    return this.#agenda.notificationChannel;
  }

  get #database(): Database {
    return this.#own ?? this.#options.database;
  }

  async connect(): Promise<void> {
    if (this.#options.url !== '' && this.#own === undefined) this.#own = await Database.open(this.#url);
    // several processes that make the table at once would fail on each other
    await this.#alone(() => this.#agenda.connect());
  }

  async close(): Promise<void> {
    await this.channel?.disconnect();
    await this.#agenda.disconnect();
    await this.#own?.close();
  }

  readonly store: JobStore = {
    idOf: (kind, id) => jobIdOf(kind, id, 32),

    put: async (kind, ids, at, onlyIdle) => {
      for (let start = 0; start < ids.length; start += BATCH) {
        // in one order in all processes, so that they can not wait for each other's rows in a circle
        const jobs = ids
          .slice(start, start + BATCH)
          .map((id) => ({ job: this.store.idOf(kind, id), id }))
          .sort((a, b) => (a.job < b.job ? -1 : 1));
        await this.#database.writeStatement(
          `INSERT INTO ${TABLE} AS job (id, name, type, priority, data, next_run_at)
           SELECT new.job, $kind::text, 'normal', 0, jsonb_build_object('id', new.id), $at::timestamptz
           FROM unnest($jobs::uuid[], $ids::text[]) AS new (job, id)
           ON CONFLICT (id) DO UPDATE SET
             next_run_at = least(job.next_run_at, excluded.next_run_at),
             fail_count = CASE WHEN ${IDLE} THEN NULL ELSE job.fail_count END,
             fail_reason = CASE WHEN ${IDLE} THEN NULL ELSE job.fail_reason END,
             failed_at = CASE WHEN ${IDLE} THEN NULL ELSE job.failed_at END
           ${onlyIdle ? `WHERE ${IDLE}` : ''}`,
          { kind, at, jobs: jobs.map(({ job }) => job), ids: jobs.map(({ id }) => id) },
        );
      }
    },

    take: async (kind, now, lockDeadline, token): Promise<JobParameters | undefined> => {
      const job = await this.repository.getNextJobToRun(kind, now, lockDeadline, now, { lastModifiedBy: token });
      if (job === undefined) return undefined;
      const [begun] = await this.#database.writeStatement(
        `UPDATE ${TABLE} SET last_run_at = $now, next_run_at = CASE WHEN next_run_at > $now THEN next_run_at END
         WHERE ${HELD} RETURNING id`,
        { id: job._id, token, now },
      );
      return begun === undefined ? undefined : job;
    },

    renew: async (id: JobId, token: string, now: Date): Promise<boolean> => {
      const sql = `UPDATE ${TABLE} SET locked_at = $now WHERE ${HELD} RETURNING id`;
      return (await this.#database.writeStatement(sql, { id, token, now })).length > 0;
    },

    finish: async (job, token, remove): Promise<Finished> => {
      const id = job._id ?? '';
      const next = job.nextRunAt;
      if (remove && next === null) {
        const sql = `DELETE FROM ${TABLE} WHERE ${HELD} AND next_run_at IS NULL RETURNING id`;
        const removed = await this.#database.writeStatement(sql, { id, token });
        if (removed.length > 0) return { held: true, nextRunAt: undefined };
      }
      const [row] = await this.#database.writeStatement<{ next_run_at: Date | null }>(
        `UPDATE ${TABLE} SET locked_at = NULL, next_run_at = least(next_run_at, $next::timestamptz),
           fail_count = $failCount, fail_reason = $failReason, failed_at = $failedAt, last_finished_at = $finishedAt
         WHERE ${HELD} RETURNING next_run_at`,
        {
          id,
          token,
          next,
          failCount: job.failCount ?? null,
          failReason: job.failReason ?? null,
          failedAt: job.failedAt ?? null,
          finishedAt: job.lastFinishedAt ?? null,
        },
      );
      return { held: row !== undefined, nextRunAt: row?.next_run_at ?? undefined };
    },

    release: async (id, token, at): Promise<void> => {
      const sql = `UPDATE ${TABLE} SET locked_at = NULL, next_run_at = least(next_run_at, $at::timestamptz) WHERE ${HELD}`;
      await this.#database.writeStatement(sql, { id, token, at });
    },

    due: async (kinds, now): Promise<DueTime[]> => {
      const first = `SELECT next_run_at FROM ${TABLE} WHERE name = kinds.kind AND locked_at IS NULL AND disabled = FALSE`;
      const rows = await this.#database.sequelize.query<{ kind: string; first: Date | null; later: Date | null }>(
        `SELECT kinds.kind, (${first} AND next_run_at IS NOT NULL ORDER BY next_run_at LIMIT 1) AS first,
           (${first} AND next_run_at > $now ORDER BY next_run_at LIMIT 1) AS later
         FROM unnest($kinds::text[]) AS kinds (kind)`,
        { bind: { kinds, now }, type: QueryTypes.SELECT },
      );
      return rows.flatMap(({ kind, first, later }) =>
        [first, later].flatMap((at) => (at === null ? [] : [{ kind, at }])),
      );
    },

    removeFinished: async (before): Promise<number> => {
      const removed = await this.#database.writeStatement(
        `DELETE FROM ${TABLE} WHERE locked_at IS NULL AND next_run_at IS NULL AND last_finished_at < $before RETURNING id`,
        { before },
      );
      return removed.length;
    },
  };
}

/** nothing is to be done for the job */
const IDLE = 'job.locked_at IS NULL AND job.next_run_at IS NULL';

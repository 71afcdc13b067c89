import { randomUUID } from 'node:crypto';
import {
  type JobId,
  type JobParameters,
  type JobRepository,
  type JobRepositoryOptions,
  type JobsOverview,
  type JobsQueryOptions,
  type JobsResult,
  type JobsSort,
  type JobState,
  type RemoveJobsOptions,
  type SortDirection,
  toJobId,
} from 'agenda';
import { QueryTypes, type Transaction } from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from '../../storage/database/database.js';
import { columnOf, type Columns, jobOfRow, type JobRow, type SqlValue, timeOf, toColumns } from './job-row.js';

/** Agenda's names for what a job is doing (computeJobState), told in SQL so that only the rows asked for are read. */
const STATE = `CASE
  WHEN locked_at IS NOT NULL THEN 'running'
  WHEN failed_at IS NOT NULL AND (last_finished_at IS NULL OR failed_at >= last_finished_at) THEN 'failed'
  WHEN repeat_interval IS NOT NULL THEN 'repeating'
  WHEN next_run_at > $now THEN 'scheduled'
  WHEN next_run_at IS NOT NULL THEN 'queued'
  ELSE 'completed' END`;

/** what Agenda's processor writes while a job runs; saving a job leaves it alone */
const PROCESSOR_COLUMNS: readonly string[] = [
  'locked_at',
  'last_run_at',
  'last_finished_at',
  'failed_at',
  'fail_count',
  'fail_reason',
  'progress',
];

/** Agenda's repository of jobs on SQLite. */
export class SqliteJobRepository implements JobRepository {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async connect(): Promise<void> {
    // the Database is open already
  }

  async queryJobs(options: JobsQueryOptions = {}): Promise<JobsResult> {
    const where = new Where();
    where.jobs({ ...options, name: options.name === '' ? undefined : options.name });
    if (options.search !== undefined && options.search !== '') {
      where.and(`instr(lower(name), lower(${where.value(options.search)})) > 0`);
    }
    if (options.includeDisabled === false) where.and('disabled = 0');
    if (options.state === 'paused') where.and('disabled = 1');
    else if (options.state !== undefined) where.and(`${STATE} = ${where.value(options.state)}`);
    const bind = { ...where.bind, now: Date.now() };

    const [count] = await this.#select<{ total: number }>(
      `SELECT count(*) AS total FROM pacifica_job ${where.sql}`,
      bind,
    );
    const limit = options.limit !== undefined && options.limit > 0 ? options.limit : -1;
    const rows = await this.#select<JobRow & { state: JobState }>(
      `SELECT *, ${STATE} AS state FROM pacifica_job ${where.sql} ORDER BY ${orderBy(options.sort)} LIMIT $limit OFFSET $skip`,
      { ...bind, limit, skip: options.skip ?? 0 },
    );
    return {
      jobs: rows.map((row) => ({ ...jobOfRow(row), _id: toJobId(row.id), state: row.state })),
      total: count?.total ?? 0,
    };
  }

  async getJobsOverview(): Promise<JobsOverview[]> {
    const groups = await this.#select<{ name: string; state: JobState; disabled: number; jobs: number }>(
      `SELECT name, ${STATE} AS state, disabled, count(*) AS jobs FROM pacifica_job GROUP BY 1, 2, 3 ORDER BY name`,
      { now: Date.now() },
    );
    const overviews = new Map<string, JobsOverview>();
    for (const { name, state, disabled, jobs } of groups) {
      const none = { total: 0, running: 0, scheduled: 0, queued: 0, completed: 0, failed: 0, repeating: 0, paused: 0 };
      const overview = overviews.get(name) ?? { name, ...none };
      overview.total += jobs;
      overview[state] += jobs;
      if (disabled === 1) overview.paused += jobs;
      overviews.set(name, overview);
    }
    return [...overviews.values()];
  }

  async getDistinctJobNames(): Promise<string[]> {
    const rows = await this.#select<{ name: string }>('SELECT DISTINCT name FROM pacifica_job ORDER BY name', {});
    return rows.map(({ name }) => name);
  }

  async getJobById(id: string): Promise<JobParameters | null> {
    const [row] = await this.#select<JobRow>('SELECT * FROM pacifica_job WHERE id = $id', { id });
    return row === undefined ? null : jobOfRow(row);
  }

  async getQueueSize(): Promise<number> {
    const [row] = await this.#select<{ size: number }>(
      'SELECT count(*) AS size FROM pacifica_job WHERE next_run_at < $now',
      { now: Date.now() },
    );
    return row?.size ?? 0;
  }

  async removeJobs(options: RemoveJobsOptions): Promise<number> {
    return this.#change(options, (where) => `DELETE FROM pacifica_job ${where} RETURNING id`);
  }

  async disableJobs(options: RemoveJobsOptions): Promise<number> {
    return this.#change(options, (where) => `UPDATE pacifica_job SET disabled = 1 ${where} RETURNING id`);
  }

  async enableJobs(options: RemoveJobsOptions): Promise<number> {
    return this.#change(options, (where) => `UPDATE pacifica_job SET disabled = 0 ${where} RETURNING id`);
  }

  async purgeAllJobs(): Promise<number> {
    return (await this.#write('DELETE FROM pacifica_job RETURNING id', {})).length;
  }

  async saveJob<DATA = unknown>(
    job: JobParameters<DATA>,
    options: JobRepositoryOptions | undefined,
  ): Promise<JobParameters<DATA>> {
    const columns: Columns = toColumns(job);
    columns.last_modified_by = options?.lastModifiedBy ?? null;
    // the rows of one job are of the type that it was saved with
    const saved = (row: JobRow): JobParameters<DATA> => jobOfRow(row) as JobParameters<DATA>;

    if (job._id !== undefined) {
      const where = new Where().and('id = $id').and('name = $name');
      const [row] = await this.#write(update(columns, where), { ...columns, ...where.bind, id: job._id.toString() });
      // it was removed in the meantime: Agenda takes that for done
      return row === undefined ? job : saved(row);
    }
    if (job.type === 'single') {
      // a time in the past means "as soon as possible" and must not move a run that is planned
      const kept = job.nextRunAt !== null && job.nextRunAt.getTime() <= Date.now();
      const set = assignments(columns, (name) =>
        name === 'next_run_at' && kept
          ? 'coalesce(pacifica_job.next_run_at, excluded.next_run_at)'
          : `excluded.${name}`,
      );
      const [row] = await this.#write(
        `${insert(columns)} ON CONFLICT (name) WHERE type = 'single' DO UPDATE SET ${set} RETURNING *`,
        { ...columns, id: randomUUID() },
      );
      if (row === undefined) throw new PacificaError('internal', `job ${job.name} was not stored`);
      return saved(row);
    }
    if (job.unique !== undefined) return saved(await this.#saveUnique(job, job.unique, columns));
    const [row] = await this.#write(`${insert(columns)} RETURNING *`, { ...columns, id: randomUUID() });
    if (row === undefined) throw new PacificaError('internal', `job ${job.name} was not stored`);
    return saved(row);
  }

  /** Looks and writes in one transaction that keeps all other writers out, so racing saves make one row. */
  async #saveUnique(job: JobParameters, unique: Record<string, unknown>, columns: Columns): Promise<JobRow> {
    const where = new Where().and('name = $name');
    for (const [key, value] of Object.entries(unique)) where.equals(key, value);
    const debounce = job.uniqueOpts?.debounce;
    const now = Date.now();
    return this.#database.write(async (transaction) => {
      const [old] = await this.#select<JobRow>(
        `SELECT * FROM pacifica_job ${where.sql} LIMIT 1`,
        { ...where.bind, name: job.name },
        transaction,
      );
      if (old !== undefined && job.uniqueOpts?.insertOnly === true && debounce === undefined) return old;

      if (debounce !== undefined) {
        const started = old?.debounce_started_at ?? now;
        const last = debounce.maxWait === undefined ? Infinity : started + debounce.maxWait;
        columns.debounce_started_at = started;
        if (debounce.strategy === 'leading') {
          if (old !== undefined) columns.next_run_at = old.next_run_at;
        } else {
          columns.next_run_at = Math.min(now + debounce.delay, Math.max(now, last));
          if (now >= last) columns.debounce_started_at = null;
        }
      }
      const id = old?.id ?? randomUUID();
      const only = new Where().and('id = $id');
      const sql = old === undefined ? `${insert(columns)} RETURNING *` : update(columns, only);
      const [row] = await this.#select<JobRow>(sql, { ...columns, id }, transaction);
      if (row === undefined) throw new PacificaError('internal', `job ${job.name} was not stored`);
      return row;
    });
  }

  async saveJobState(job: JobParameters, options: JobRepositoryOptions | undefined): Promise<void> {
    const rows = await this.#write(
      `UPDATE pacifica_job SET locked_at = $locked_at, next_run_at = $next_run_at, last_run_at = $last_run_at,
         progress = $progress, fail_reason = $fail_reason, fail_count = $fail_count, failed_at = $failed_at,
         last_finished_at = $last_finished_at, last_modified_by = $last_modified_by
       WHERE id = $id AND name = $name RETURNING id`,
      { ...toColumns(job), id: job._id?.toString() ?? '', last_modified_by: options?.lastModifiedBy ?? null },
    );
    if (rows.length === 0)
      throw new PacificaError('not-found', `job ${job.name} ${job._id ?? ''} is not there any more`);
  }

  async lockJob(job: JobParameters, options: JobRepositoryOptions | undefined): Promise<JobParameters | undefined> {
    const [row] = await this.#write(
      `UPDATE pacifica_job SET locked_at = $now, last_modified_by = $by
       WHERE id = $id AND name = $name AND next_run_at IS $next AND locked_at IS NULL AND disabled = 0 RETURNING *`,
      {
        now: Date.now(),
        by: options?.lastModifiedBy ?? null,
        id: job._id?.toString() ?? '',
        name: job.name,
        next: timeOf(job.nextRunAt),
      },
    );
    return row === undefined ? undefined : jobOfRow(row);
  }

  async unlockJob(job: JobParameters): Promise<void> {
    // a job without a next time runs at this moment
    await this.#write(
      'UPDATE pacifica_job SET locked_at = NULL WHERE id = $id AND next_run_at IS NOT NULL RETURNING id',
      { id: job._id?.toString() ?? '' },
    );
  }

  async unlockJobs(ids: (JobId | string)[]): Promise<void> {
    await this.#write(
      'UPDATE pacifica_job SET locked_at = NULL WHERE id IN (SELECT value FROM json_each($ids)) RETURNING id',
      { ids: JSON.stringify(ids.map(String)) },
    );
  }

  async getNextJobToRun(
    name: string,
    nextScanAt: Date,
    lockDeadline: Date,
    now: Date | undefined,
    options: JobRepositoryOptions | undefined,
  ): Promise<JobParameters | undefined> {
    const [row] = await this.#write(
      `UPDATE pacifica_job SET locked_at = $now, last_modified_by = $by WHERE id = (${NEXT_JOB}) RETURNING *`,
      {
        name,
        due: nextScanAt.getTime(),
        expired: lockDeadline.getTime(),
        now: (now ?? new Date()).getTime(),
        by: options?.lastModifiedBy ?? null,
      },
    );
    return row === undefined ? undefined : jobOfRow(row);
  }

  async #change(options: RemoveJobsOptions, statement: (where: string) => string): Promise<number> {
    const where = new Where();
    where.jobs(options);
    // without any condition Agenda means none, not all
    return where.empty ? 0 : (await this.#write(statement(where.sql), where.bind)).length;
  }

  async #write(sql: string, bind: Columns): Promise<JobRow[]> {
    return this.#database.writeStatement<JobRow>(sql, used(sql, bind));
  }

  async #select<Row extends object>(sql: string, bind: Columns, transaction?: Transaction): Promise<Row[]> {
    // the comment: see Database.writeStatement
    const options = { bind: used(sql, bind), transaction, type: QueryTypes.RAW } as const;
    return (await this.#database.sequelize.query(`/* */ ${sql}`, options))[0] as Row[];
  }
}

/** The job of kind `$name` that is next: one whose lock expired, else the first that is due. Both by an index. */
export const NEXT_JOB = `SELECT coalesce(
  (SELECT id FROM pacifica_job WHERE name = $name AND locked_at IS NOT NULL AND locked_at <= $expired AND disabled = 0
   ORDER BY locked_at LIMIT 1),
  (SELECT id FROM pacifica_job WHERE name = $name AND locked_at IS NULL AND next_run_at <= $due AND disabled = 0
   ORDER BY next_run_at, priority DESC, rowid LIMIT 1))`;

/** Conditions of a statement and the values that they bind. */
class Where {
  readonly bind: Columns = {};
  readonly #conditions: string[] = [];

  get empty(): boolean {
    return this.#conditions.length === 0;
  }

  and(condition: string): this {
    this.#conditions.push(condition);
    return this;
  }

  /** @returns the name that stands for a value */
  value(value: SqlValue): string {
    const name = `where_${Object.keys(this.bind).length}`;
    this.bind[name] = value;
    return `$${name}`;
  }

  /** Agenda's options that choose jobs. */
  jobs({ id, ids, name, names, notNames, data }: RemoveJobsOptions): void {
    const list = (values: readonly unknown[]): string =>
      `(SELECT value FROM json_each(${this.value(JSON.stringify(values.map(String)))}))`;
    if (id !== undefined) this.and(`id = ${this.value(id.toString())}`);
    else if (ids !== undefined && ids.length > 0) this.and(`id IN ${list(ids)}`);
    if (name !== undefined) this.and(`name = ${this.value(name)}`);
    else if (names !== undefined && names.length > 0) this.and(`name IN ${list(names)}`);
    else if (notNames !== undefined && notNames.length > 0) this.and(`name NOT IN ${list(notNames)}`);
    if (data !== undefined) this.#contains([], data);
  }

  /** One condition of Agenda's `unique`: a field of the job, or `data.` and a path into its data. */
  equals(key: string, value: unknown): void {
    if (key.startsWith('data.')) {
      this.#contains(key.slice('data.'.length).split('.'), value);
      return;
    }
    const column = columnOf(key);
    if (column === undefined) throw new PacificaError('invalid', `jobs have no field ${key} to be unique by`);
    this.and(`${column} IS ${this.value(toColumns({ [key]: value })[column] ?? null)}`);
  }

  /** `data` has this value at this path; of an object all that it names. */
  #contains(path: readonly string[], value: unknown): void {
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
      for (const [key, inner] of Object.entries(value)) this.#contains([...path, key], inner);
      return;
    }
    if (path.some((key) => key.includes('"'))) {
      throw new PacificaError('invalid', `a job can not be looked up by the name ${path.join('.')}`);
    }
    const at = `$${path.map((key) => `."${key}"`).join('')}`;
    this.and(`data -> ${this.value(at)} = ${this.value(JSON.stringify(value))}`);
  }

  get sql(): string {
    return this.empty ? '' : `WHERE ${this.#conditions.join(' AND ')}`;
  }
}

/** SQLite refuses values that the statement does not name. */
function used(sql: string, bind: Columns): Columns {
  return Object.fromEntries(Object.entries(bind).filter(([name]) => new RegExp(`\\$${name}\\b`).test(sql)));
}

function insert(columns: Columns): string {
  const names = ['id', ...Object.keys(columns)];
  return `INSERT INTO pacifica_job (${names.join(', ')}) VALUES (${names.map((name) => `$${name}`).join(', ')})`;
}

function update(columns: Columns, where: Where): string {
  return `UPDATE pacifica_job SET ${assignments(columns, (name) => `$${name}`)} ${where.sql} RETURNING *`;
}

/** Everything of a saved job but what its processor writes. A run that holds the lock keeps its token. */
function assignments(columns: Columns, value: (name: string) => string): string {
  return Object.keys(columns)
    .filter((name) => !PROCESSOR_COLUMNS.includes(name))
    .map((name) =>
      name === 'last_modified_by'
        ? `${name} = iif(pacifica_job.locked_at IS NULL, ${value(name)}, pacifica_job.${name})`
        : `${name} = ${value(name)}`,
    )
    .join(', ');
}

/** Agenda's order of listing; jobs without the time come last. */
function orderBy(sort: JobsQueryOptions['sort']): string {
  const order = (field: string, direction: SortDirection | undefined): string[] =>
    direction === undefined ? [] : [`${columnOf(field) ?? field} ${direction === 'asc' ? 'ASC' : 'DESC'} NULLS LAST`];
  const { nextRunAt, lastRunAt, lastFinishedAt, priority, name, data }: JobsSort = sort ?? {};
  const given = [
    ...order('nextRunAt', nextRunAt),
    ...order('lastRunAt', lastRunAt),
    ...order('lastFinishedAt', lastFinishedAt),
    ...order('priority', priority),
    ...order('name', name),
    ...order('data', data),
  ];
  const fields = given.length === 0 ? [...order('nextRunAt', 'desc'), ...order('lastRunAt', 'desc')] : given;
  return [...fields, 'rowid'].join(', ');
}

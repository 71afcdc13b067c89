import { hash } from 'node:crypto';
import {
  DataTypes,
  type Model,
  type ModelStatic,
  Op,
  QueryTypes,
  type Transaction,
  type WhereOptions,
} from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';
import { IngestKeys } from './ingest-keys.js';
import type { Stored } from './stored.js';

/**
 * Where a job really is. Each step leads to the one after it, and a job that is found in one after a crash goes on there:
 * - `receiving`: its bundle comes in
 * - `queued`: all of it is on disk; it is checked and its files go into the archive
 * - `recording`: its files are in the archive, its metadata is recorded
 * - `finishing`: all is safe; what it needed on the way is removed
 * - `done`
 * - `failing`: it can not pass; what became visible is taken back
 * - `failed`
 */
export type IngestPhase = 'receiving' | 'queued' | 'recording' | 'finishing' | 'done' | 'failing' | 'failed';

/** Phases in which somebody has to call the job's handler. */
export const WORK: readonly IngestPhase[] = ['queued', 'recording', 'finishing', 'failing'];

/** Phases in which nothing of a job is on record elsewhere. */
const CANCELLABLE: readonly IngestPhase[] = ['receiving', 'queued'];

export interface IngestJob {
  readonly id: number;
  readonly kind: 'upload' | 'move';
  /** who sent it */
  readonly user: string;
  readonly state: string;
  readonly task: string;
  /** 0 to 100 */
  readonly taskPercent: number;
  /** what went wrong; what it waits for while state is OK */
  readonly exception: string;
  readonly complete: boolean;
  /** ms since 1970 */
  readonly created: number;
  /** ms since 1970, of the last progress */
  readonly updated: number;
  /** ms since 1970, when it last got further than ever before; what is done once more after a fault does not count */
  readonly progressed: number;
  readonly phase: IngestPhase;
  /** whether all of its data is with us: from when it came in until it is in the archive, or a failed job's is purged */
  readonly kept: boolean;
  /** the run that may change this row; every other one is refused */
  readonly runId: string | null;
  /** the process that it is in (processMark) */
  readonly process: string | null;
  /** ms since 1970, of that run's last sign of life */
  readonly beat: number;
  /** number of its files */
  readonly members: number;
  /** total of their sizes */
  readonly bytes: number;
  /** file n of the job (from 0) has id `firstFileId + n`, unless it has one of its own; null before ids are taken */
  readonly firstFileId: number | null;
}

/** One file of a job, or something else in its bundle that must not be there. */
export interface IngestMember {
  /** number in the bundle, from 0 */
  readonly position: number;
  /** `data/...`, cleaned */
  readonly path: string;
  /** bytes */
  readonly size: number;
  /** ms since 1970 */
  readonly mtime: number;
  /** of the bytes that came; null when they were not hashed yet */
  readonly hashtype: string | null;
  readonly hashsum: string | null;
  /** what is wrong with it by itself; such a member has no bytes with us */
  readonly problem: string | null;
  /** whether the metadata names it; known after the check */
  readonly named: boolean;
  /** its own archive id, where the one by its position was taken */
  readonly fileId: number | null;
  /** for a move: where the file lies, an absolute path */
  readonly source: string | null;
  /** for a move: permission bits that the file had there */
  readonly mode: number | null;
}

export type NewMember = Pick<IngestMember, 'position' | 'path' | 'size' | 'mtime'> &
  Partial<Pick<IngestMember, 'hashtype' | 'hashsum' | 'problem' | 'source'>>;

/** What a run may change of its job. */
export type JobChanges = Partial<
  Pick<
    IngestJob,
    | 'state'
    | 'task'
    | 'taskPercent'
    | 'exception'
    | 'complete'
    | 'phase'
    | 'kept'
    | 'runId'
    | 'members'
    | 'bytes'
    | 'firstFileId'
  >
>;

export type NewJob = Pick<IngestJob, 'id' | 'kind' | 'user'>;

export interface RunIdentity {
  /** different for every run that ever was */
  readonly runId: string;
  /** the process that it is in (processMark) */
  readonly process: string;
}

type JobRow = Stored<IngestJob>;
type JobModel = Model<JobRow> & JobRow;
type MemberRow = Stored<IngestMember> & { jobId: number; pathKey: string };
type MemberModel = Model<MemberRow> & MemberRow;

/** Which jobs are meant: each column has the value, or one of the values. */
interface Condition {
  readonly id: number;
  readonly runId?: string;
  readonly phase?: IngestPhase | readonly IngestPhase[];
  readonly beat?: number;
  readonly kept?: boolean;
}

/** Rows a statement (platform: larger ones stall the event loop). */
export const BATCH = 500;
/** rows of a finished job that are removed in one transaction */
const REMOVE_BATCH = 10_000;

/**
 * The ingest jobs and their files. Whoever works on a job holds it by a run id; each of its writes names that id and
 * throws `aborted` when the job is no longer its own, so that a process that was believed dead can change nothing.
 * What the database throws comes out as it is.
 */
export class IngestJobs {
  readonly #database: Database;
  readonly #jobs: ModelStatic<JobModel>;
  readonly #members: ModelStatic<MemberModel>;
  readonly #keys: IngestKeys;

  constructor(database: Database) {
    this.#database = database;
    this.#keys = new IngestKeys(database);
    this.#jobs = defineJobs(database);
    this.#members = defineMembers(database);
  }

  /** @returns false when there is a job of this id already */
  async insert(job: NewJob, run: RunIdentity): Promise<boolean> {
    const { sql, row } = this.#insertion(job, run);
    return (await this.#database.writeStatement(sql, row)).length > 0;
  }

  /**
   * Inserts a job under an idempotency key, unless the key has a job already that {@link answersFor} its key.
   * @param keyedSince ms since 1970: what was begun before counts no more
   * @returns the job that has the key; undefined when there is a job of this id already, of another key
   */
  async insertKeyed(
    job: NewJob,
    run: RunIdentity,
    { key, keyedSince }: { key: string; keyedSince: number },
  ): Promise<IngestJob | undefined> {
    return this.#database.write(async (transaction) => {
      const { sql, row } = this.#insertion(job, run);
      // Sequelize drops what RETURNING returns when the text begins with "INSERT INTO", hence the comment
      const [inserted] = await this.#database.sequelize.query(`/* */ ${sql}`, { bind: row, transaction });
      if (inserted.length === 0) return undefined;
      const owner = await this.#keys.take(key, job.id, transaction);
      if (owner === job.id) return jobOf(row);
      const found = await this.#jobs.findOne({ where: { id: owner }, raw: true, transaction });
      const other = found === null ? undefined : jobOf(found);
      if (other !== undefined && answersFor(other, keyedSince)) {
        await this.#jobs.destroy({ where: { id: job.id }, transaction });
        return other;
      }
      await this.#keys.give(key, job.id, transaction);
      return jobOf(row);
    });
  }

  /** @returns the job that was begun under an idempotency key, as far as it {@link answersFor} it */
  async findKeyed(key: string, keyedSince: number): Promise<IngestJob | undefined> {
    const id = await this.#keys.find(key, keyedSince);
    const job = id === undefined ? undefined : await this.find(id);
    return job !== undefined && answersFor(job, keyedSince) ? job : undefined;
  }

  /** Forgets idempotency keys. @param before ms since 1970 */
  async forgetKeys(before: number): Promise<void> {
    await this.#keys.removeOlder(before);
  }

  #insertion(job: NewJob, run: RunIdentity): { sql: string; row: JobRow & Record<string, unknown> } {
    const now = Date.now();
    const row = {
      ...job,
      ...run,
      state: 'OK',
      task: 'UPLOADING',
      taskPercent: 0,
      exception: '',
      complete: false,
      created: now,
      updated: now,
      progressed: now,
      phase: 'receiving' as const,
      kept: false,
      beat: now,
      members: 0,
      bytes: 0,
      firstFileId: null,
    };
    const keys = Object.keys(row);
    const sql = `INSERT INTO pacifica_ingest_job (${keys.map((key) => this.#column(key)).join(', ')})
       VALUES (${keys.map((key) => `$${key}`).join(', ')}) ON CONFLICT (id) DO NOTHING RETURNING id`;
    return { sql, row };
  }

  /** Takes in jobs that ended elsewhere. One that is here already stays as it is. */
  async adopt(jobs: readonly IngestJob[]): Promise<void> {
    if (jobs.length === 0) return;
    await this.#database.write(async (transaction) => {
      await this.#jobs.bulkCreate([...jobs], { ignoreDuplicates: true, transaction });
    });
  }

  /** @returns undefined when there is none */
  async find(id: number): Promise<IngestJob | undefined> {
    const row = await this.#jobs.findOne({ where: { id }, raw: true });
    return row === null ? undefined : jobOf(row);
  }

  /** Newest first. @param filter.since ms since 1970, by time of creation */
  async list(filter: { state?: string; since?: number; limit: number }): Promise<IngestJob[]> {
    const where: WhereOptions<JobRow> = {
      ...(filter.state !== undefined && { state: filter.state }),
      ...(filter.since !== undefined && { created: { [Op.gte]: filter.since } }),
    };
    const rows = await this.#jobs.findAll({ where, order: [['id', 'DESC']], limit: filter.limit, raw: true });
    return rows.map(jobOf);
  }

  /**
   * Jobs of some phases in the order of their ids, at most {@link BATCH} after the job `after`.
   * @param filter.updatedBefore ms since 1970
   */
  async inPhase(
    filter: { phases: readonly IngestPhase[]; kept?: boolean; updatedBefore?: number },
    after: number,
  ): Promise<IngestJob[]> {
    const { phases, kept, updatedBefore } = filter;
    const where: WhereOptions<JobRow> = {
      phase: [...phases],
      id: { [Op.gt]: after },
      ...(kept !== undefined && { kept }),
      ...(updatedBefore !== undefined && { updated: { [Op.lt]: updatedBefore } }),
    };
    const rows = await this.#jobs.findAll({ where, order: [['id', 'ASC']], limit: BATCH, raw: true });
    return rows.map(jobOf);
  }

  /**
   * Makes a job that waits for work this run's own, whoever had it before.
   * @returns undefined when there is nothing to do for it
   */
  async claim(id: number, run: RunIdentity): Promise<IngestJob | undefined> {
    return this.#take({ id, phase: WORK }, run);
  }

  /**
   * Makes a job this run's own whose own run gave no sign of life since `job` was read.
   * @returns undefined when it did meanwhile
   */
  async takeOver({ id, phase, beat }: IngestJob, run: RunIdentity): Promise<IngestJob | undefined> {
    return this.#take({ id, phase, beat }, run);
  }

  /** Makes a failed job that has its data this run's own. @returns undefined when it is no such job */
  async takeFailed(id: number, run: RunIdentity): Promise<IngestJob | undefined> {
    return this.#take({ id, phase: 'failed', kept: true }, run);
  }

  /**
   * Ends a job as failed whose metadata is not being recorded yet: what ran for it can change nothing any more, and the
   * next run takes back what became visible.
   * @returns whether it was such a job
   */
  async cancel(id: number, exception: string): Promise<boolean> {
    const ended = { state: 'FAILED', phase: 'failing', exception, complete: true, runId: null } as const;
    const changed = await this.#change({ id, phase: CANCELLABLE }, { ...ended, updated: Date.now() });
    return changed.length > 0;
  }

  /**
   * Changes what get_state tells, by hand; whatever ran for the job can change nothing any more.
   * @returns whether there is such a job, in that phase
   */
  async force(id: number, phase: IngestPhase, changes: JobChanges): Promise<boolean> {
    const now = Date.now();
    const values = { ...changes, runId: null, updated: now, progressed: now };
    return (await this.#change({ id, phase }, values)).length > 0;
  }

  /**
   * Changes a job that this run holds.
   * @param options.further whether it got further than ever before
   * @param options.durable false: a power cut may lose it
   */
  async update(
    id: number,
    runId: string,
    changes: JobChanges,
    { further = false, durable = true }: { further?: boolean; durable?: boolean } = {},
  ): Promise<void> {
    const now = Date.now();
    await this.#keep(id, runId, { ...changes, updated: now, beat: now, ...(further && { progressed: now }) }, durable);
  }

  /**
   * Tells that the task goes on. A power cut may lose it.
   * @param taskPercent how far it is, where that is known
   * @param further whether the job got further than ever before
   */
  async progress(id: number, runId: string, taskPercent: number | undefined, further: boolean): Promise<void> {
    const now = Date.now();
    const percent = taskPercent !== undefined && { taskPercent };
    await this.#keep(id, runId, { ...percent, updated: now, beat: now, ...(further && { progressed: now }) }, false);
  }

  /** Gives a sign of life. A power cut may lose it. */
  async beat(id: number, runId: string): Promise<void> {
    await this.#keep(id, runId, { beat: Date.now() }, false);
  }

  /** Lets go of a job, if this run still holds it. */
  async release(id: number, runId: string): Promise<void> {
    await this.#change({ id, runId }, { runId: null });
  }

  /** Removes a job that came to nothing, as if it had never been. */
  async remove(id: number, runId: string): Promise<void> {
    await this.removeMembers(id, runId);
    await this.#held(id, runId, async (transaction) => {
      await this.#jobs.destroy({ where: { id }, transaction });
    });
  }

  /**
   * Adds files, at most {@link BATCH}. A power cut may take them back, as long as nothing was changed of the job since
   * ({@link update}).
   */
  async addMembers(id: number, runId: string, members: readonly NewMember[]): Promise<void> {
    const rows = members.map((member) => ({ ...member, pathKey: pathKey(member.path) }));
    // one list is bound instead of a value a column
    const source =
      this.#database.dialect === 'sqlite'
        ? `SELECT held.id, value ->> 'position', value ->> 'path', value ->> 'pathKey', value ->> 'size', value ->> 'mtime',
             value ->> 'hashtype', value ->> 'hashsum', value ->> 'problem', FALSE, value ->> 'source'
           FROM held, json_each($rows)`
        : `SELECT held.id, r."position", r.path, r."pathKey", r.size, r.mtime, r.hashtype, r.hashsum, r.problem, FALSE,
             r.source
           FROM held, json_to_recordset(CAST($rows AS json)) AS r ("position" bigint, path text, "pathKey" text,
             size bigint, mtime double precision, hashtype text, hashsum text, problem text, source text)`;
    await this.#ifHeld(
      id,
      runId,
      `INSERT INTO pacifica_ingest_member
         (job_id, position, path, path_key, size, mtime, hashtype, hashsum, problem, named, source) ${source}`,
      { name: 'rows', list: rows },
    );
  }

  /** Files in the order of the bundle, at most {@link BATCH} after position `after`. */
  async membersAfter(id: number, after: number): Promise<IngestMember[]> {
    return this.#findMembers({ jobId: id, position: { [Op.gt]: after } }, BATCH);
  }

  /** Files by their paths, of which there are at most {@link BATCH}, in the order of the bundle. */
  async membersByPath(id: number, paths: readonly string[]): Promise<IngestMember[]> {
    const keys = this.#database.listed('$keys', 'text');
    // asked for an order SQLite goes through all files of the job, which are in it, instead of looking up these
    const rows = await this.#database.sequelize.query<MemberRow>(
      `SELECT ${columnsOf(this.#members)} FROM pacifica_ingest_member WHERE job_id = $id AND path_key IN (${keys})`,
      { type: QueryTypes.SELECT, bind: { id, keys: JSON.stringify(paths.map(pathKey)) } },
    );
    return rows.map(memberOf).sort((one, other) => one.position - other.position);
  }

  /** Takes the marks of an earlier run away. */
  async clearNamed(id: number, runId: string): Promise<void> {
    await this.#held(id, runId, async (transaction) => {
      await this.#members.update({ named: false }, { where: { jobId: id, named: true }, transaction });
    });
  }

  /** Members that can't be taken, the first `limit` of them; those with a problem of their own, and those that the metadata does not name. */
  async faultyMembers(id: number, limit: number): Promise<{ members: IngestMember[]; count: number }> {
    const where = { jobId: id, [Op.or]: [{ problem: { [Op.ne]: null } }, { named: false }] };
    const members = await this.#findMembers(where, limit);
    const count = members.length < limit ? members.length : await this.#members.count({ where });
    return { members, count };
  }

  /** Paths that are in the bundle more than once, the first `limit` of them. */
  async pathsTwice(id: number, limit: number): Promise<string[]> {
    const rows = await this.#database.sequelize.query<{ path: string }>(
      `SELECT MIN(path) AS path FROM pacifica_ingest_member WHERE job_id = :id
         GROUP BY path_key HAVING COUNT(*) > 1 ORDER BY MIN(position) LIMIT :limit`,
      { type: QueryTypes.SELECT, replacements: { id, limit } },
    );
    return rows.map(({ path }) => path);
  }

  /** Gives a file an id of its own. */
  async setFileId(id: number, runId: string, position: number, fileId: number): Promise<void> {
    await this.#held(id, runId, async (transaction) => {
      await this.#members.update({ fileId }, { where: { jobId: id, position }, transaction });
    });
  }

  /** Marks files, at most {@link BATCH}, as named by the metadata. A power cut may take it back, as with {@link addMembers}. */
  async markNamed(id: number, runId: string, positions: readonly number[]): Promise<void> {
    await this.#ifHeld(
      id,
      runId,
      `UPDATE pacifica_ingest_member SET named = TRUE
       WHERE job_id = (SELECT id FROM held) AND position IN (${this.#database.listed('$positions', 'bigint')})`,
      { name: 'positions', list: positions },
    );
  }

  /** Changes files, at most {@link BATCH}, as far as it is known of them only while the job runs. */
  async saveMembers(id: number, runId: string, members: readonly IngestMember[]): Promise<void> {
    const rows = members.map((member) => ({ ...member, jobId: id, pathKey: pathKey(member.path) }));
    await this.#held(id, runId, async (transaction) => {
      const updateOnDuplicate: (keyof MemberRow)[] = ['hashtype', 'hashsum', 'named', 'mtime', 'mode'];
      await this.#members.bulkCreate(rows, { updateOnDuplicate, transaction });
    });
  }

  /** Removes what is known of a job's files, some thousands at a time so that others may write meanwhile. */
  async removeMembers(id: number, runId: string): Promise<void> {
    // not by findOne: to Sequelize the first column of a primary key is all of it, and it would read every row
    const last = await this.#members.max<number | string | null, MemberModel>('position', { where: { jobId: id } });
    if (last === null) return;
    for (let end = REMOVE_BATCH; end < Number(last) + 1 + REMOVE_BATCH; end += REMOVE_BATCH) {
      await this.#held(id, runId, async (transaction) => {
        await this.#members.destroy({ where: { jobId: id, position: { [Op.lt]: end } }, transaction });
      });
    }
  }

  async #take(where: Condition, run: RunIdentity): Promise<IngestJob | undefined> {
    const [row] = await this.#change(where, { ...run, beat: Date.now() });
    return row;
  }

  async #findMembers(where: WhereOptions<MemberRow>, limit?: number): Promise<IngestMember[]> {
    const rows = await this.#members.findAll({ where, order: [['position', 'ASC']], limit, raw: true });
    return rows.map(memberOf);
  }

  async #keep(id: number, runId: string, changes: Partial<JobRow>, durable = true): Promise<void> {
    if ((await this.#change({ id, runId }, changes, durable)).length === 0) throw lost(id);
  }

  /**
   * Writes rows of a job that this run holds, in one statement.
   * @param sql what it does, `held` being the job
   * @param bound what is bound as JSON; each item of the list stands for one row
   */
  async #ifHeld(
    id: number,
    runId: string,
    sql: string,
    { name, list }: { name: string; list: readonly unknown[] },
  ): Promise<void> {
    // locked, so that nobody takes the job over in between; SQLite has one writer at a time
    const lock = this.#database.dialect === 'sqlite' ? '' : 'FOR UPDATE';
    const rows = await this.#database.writeStatement(
      `WITH held AS (SELECT id FROM pacifica_ingest_job WHERE id = $id AND run_id = $runId ${lock}) ${sql}
       RETURNING position`,
      { id, runId, [name]: JSON.stringify(list) },
      { durable: false },
    );
    if (rows.length !== list.length) throw lost(id);
  }

  /** Writes files of a job that this run holds. */
  async #held(id: number, runId: string, work: (transaction: Transaction) => Promise<unknown>): Promise<void> {
    await this.#database.write(async (transaction) => {
      // an update that changes nothing: it locks the row, so that nobody takes the job over in between
      const [count] = await this.#jobs.update({ runId }, { where: { id, runId }, transaction });
      if (count === 0) throw lost(id);
      await work(transaction);
    });
  }

  /**
   * Changes jobs in one statement: a transaction costs ten times as much on SQLite.
   * @returns those that were changed, as they are now
   */
  async #change(where: Condition, changes: Partial<JobRow>, durable = true): Promise<IngestJob[]> {
    const bind: Record<string, unknown> = {};
    const value = (name: string, one: unknown): string => {
      bind[name] = one;
      return `$${name}`;
    };
    const set = Object.entries(changes).map(([key, one]) => `${this.#column(key)} = ${value(`set_${key}`, one)}`);
    const conditions = Object.entries(where).map(([key, wanted]) => {
      const values = [wanted].flat().map((one, index) => value(`where_${key}_${index}`, one));
      return `${this.#column(key)} IN (${values.join(', ')})`;
    });
    const rows = await this.#database.writeStatement<JobRow>(
      `UPDATE pacifica_ingest_job SET ${set.join(', ')} WHERE ${conditions.join(' AND ')}
       RETURNING ${columnsOf(this.#jobs)}`,
      bind,
      { durable },
    );
    return rows.map(jobOf);
  }

  #column(key: string): string {
    const { field } = this.#jobs.getAttributes()[key as keyof JobRow];
    return field ?? key;
  }
}

/**
 * Whether a job is the answer to a second request with its key. One that failed and of which nothing is left is not: its
 * sender has to send it again.
 * @param keyedSince ms since 1970: what was begun before counts no more
 */
function answersFor({ created, phase, kept }: IngestJob, keyedSince: number): boolean {
  return created >= keyedSince && (phase !== 'failed' || kept);
}

function lost(id: number): PacificaError {
  return new PacificaError('aborted', `ingest job ${id} is no longer this run's own`);
}

/** @returns all columns of a table, by the names that its rows have here */
function columnsOf<M extends Model>(model: ModelStatic<M>): string {
  return Object.entries<{ field?: string }>(model.getAttributes())
    .map(([key, { field = key }]) => `${field} AS "${key}"`)
    .join(', ');
}

function pathKey(path: string): string {
  return hash('sha1', path);
}

function jobOf(row: JobRow): IngestJob {
  return {
    ...row,
    id: Number(row.id),
    taskPercent: Number(row.taskPercent),
    complete: Boolean(row.complete),
    created: Number(row.created),
    updated: Number(row.updated),
    progressed: Number(row.progressed),
    kept: Boolean(row.kept),
    beat: Number(row.beat),
    members: Number(row.members),
    bytes: Number(row.bytes),
    firstFileId: maybe(row.firstFileId),
  };
}

function memberOf(row: MemberRow): IngestMember {
  return {
    ...row,
    position: Number(row.position),
    size: Number(row.size),
    mtime: Number(row.mtime),
    named: Boolean(row.named),
    fileId: maybe(row.fileId),
    mode: maybe(row.mode),
  };
}

function maybe(value: number | string | null): number | null {
  return value === null ? null : Number(value);
}

function defineJobs({ sequelize }: Database): ModelStatic<JobModel> {
  return sequelize.define<JobModel>(
    'IngestJob',
    {
      id: { type: DataTypes.BIGINT, primaryKey: true },
      kind: DataTypes.STRING,
      user: { type: DataTypes.TEXT, field: 'user_name' },
      state: DataTypes.STRING,
      task: DataTypes.STRING,
      taskPercent: { type: DataTypes.DOUBLE, field: 'task_percent' },
      exception: DataTypes.TEXT,
      complete: DataTypes.BOOLEAN,
      created: DataTypes.BIGINT,
      updated: DataTypes.BIGINT,
      progressed: DataTypes.BIGINT,
      phase: DataTypes.STRING,
      kept: DataTypes.BOOLEAN,
      runId: { type: DataTypes.STRING, field: 'run_id' },
      process: DataTypes.STRING,
      beat: DataTypes.BIGINT,
      members: DataTypes.BIGINT,
      bytes: DataTypes.BIGINT,
      firstFileId: { type: DataTypes.BIGINT, field: 'first_file_id' },
    },
    { tableName: 'pacifica_ingest_job', timestamps: false },
  );
}

function defineMembers({ sequelize }: Database): ModelStatic<MemberModel> {
  return sequelize.define<MemberModel>(
    'IngestMember',
    {
      jobId: { type: DataTypes.BIGINT, primaryKey: true, field: 'job_id' },
      position: { type: DataTypes.BIGINT, primaryKey: true },
      path: DataTypes.TEXT,
      pathKey: { type: DataTypes.STRING, field: 'path_key' },
      size: DataTypes.BIGINT,
      mtime: DataTypes.DOUBLE,
      hashtype: DataTypes.STRING,
      hashsum: DataTypes.STRING,
      problem: DataTypes.TEXT,
      named: DataTypes.BOOLEAN,
      fileId: { type: DataTypes.BIGINT, field: 'file_id' },
      source: DataTypes.TEXT,
      mode: DataTypes.INTEGER,
    },
    { tableName: 'pacifica_ingest_member', timestamps: false },
  );
}

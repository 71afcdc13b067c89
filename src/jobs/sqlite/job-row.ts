import { type JobParameters, toJobId } from 'agenda';

/** What SQLite binds. */
export type SqlValue = string | number | null;

/** Values by column, or by the name that stands for them in a statement. */
export type Columns = Record<string, SqlValue>;

/** A row of pacifica_job. Times are ms since 1970. */
export interface JobRow {
  readonly id: string;
  readonly name: string;
  readonly type: 'normal' | 'single';
  readonly priority: number;
  readonly data: string | null;
  readonly next_run_at: number | null;
  readonly locked_at: number | null;
  readonly last_run_at: number | null;
  readonly last_finished_at: number | null;
  readonly failed_at: number | null;
  readonly fail_count: number | null;
  readonly fail_reason: string | null;
  readonly repeat_interval: string | null;
  readonly repeat_at: string | null;
  readonly repeat_timezone: string | null;
  readonly start_date: number | null;
  readonly end_date: number | null;
  readonly skip_days: string | null;
  readonly debounce_started_at: number | null;
  readonly disabled: number;
  readonly progress: number | null;
  readonly fork: number;
  readonly last_modified_by: string | null;
}

/** Agenda's fields and their columns, `_id` apart. */
const COLUMNS = {
  name: 'name',
  type: 'type',
  priority: 'priority',
  data: 'data',
  nextRunAt: 'next_run_at',
  lockedAt: 'locked_at',
  lastRunAt: 'last_run_at',
  lastFinishedAt: 'last_finished_at',
  failedAt: 'failed_at',
  failCount: 'fail_count',
  failReason: 'fail_reason',
  repeatInterval: 'repeat_interval',
  repeatAt: 'repeat_at',
  repeatTimezone: 'repeat_timezone',
  startDate: 'start_date',
  endDate: 'end_date',
  skipDays: 'skip_days',
  debounceStartedAt: 'debounce_started_at',
  disabled: 'disabled',
  progress: 'progress',
  fork: 'fork',
  lastModifiedBy: 'last_modified_by',
} as const satisfies Partial<Record<keyof JobParameters, Exclude<keyof JobRow, 'id'>>>;

/** @returns the column of one of Agenda's fields, undefined when there is no such field */
export function columnOf(field: string): Exclude<keyof JobRow, 'id'> | undefined {
  return Object.hasOwn(COLUMNS, field) ? COLUMNS[field as keyof typeof COLUMNS] : undefined;
}

/** @returns ms since 1970 */
export function timeOf(date: Date | null | undefined): number | null {
  return date === null || date === undefined ? null : new Date(date).getTime();
}

/** @returns every column of a job but its id; null where the job says nothing */
export function toColumns(job: Partial<JobParameters>): Record<Exclude<keyof JobRow, 'id'>, SqlValue> {
  return {
    name: job.name ?? null,
    type: job.type ?? 'normal',
    priority: job.priority ?? 0,
    data: job.data === undefined ? null : JSON.stringify(job.data),
    next_run_at: timeOf(job.nextRunAt),
    locked_at: timeOf(job.lockedAt),
    last_run_at: timeOf(job.lastRunAt),
    last_finished_at: timeOf(job.lastFinishedAt),
    failed_at: timeOf(job.failedAt),
    fail_count: job.failCount ?? null,
    fail_reason: job.failReason ?? null,
    // "5 minutes" or a number of ms: as JSON it comes back as what it was
    repeat_interval: job.repeatInterval === undefined ? null : JSON.stringify(job.repeatInterval),
    repeat_at: job.repeatAt ?? null,
    repeat_timezone: job.repeatTimezone ?? null,
    start_date: timeOf(job.startDate),
    end_date: timeOf(job.endDate),
    skip_days: job.skipDays === undefined ? null : JSON.stringify(job.skipDays),
    debounce_started_at: timeOf(job.debounceStartedAt),
    disabled: job.disabled === true ? 1 : 0,
    progress: job.progress ?? null,
    fork: job.fork === true ? 1 : 0,
    last_modified_by: job.lastModifiedBy ?? null,
  };
}

/** @returns the job of a row */
export function jobOfRow(row: JobRow): JobParameters {
  return {
    _id: toJobId(row.id),
    name: row.name,
    type: row.type,
    priority: row.priority,
    data: parsed(row.data),
    nextRunAt: dateOf(row.next_run_at) ?? null,
    lockedAt: dateOf(row.locked_at),
    lastRunAt: dateOf(row.last_run_at),
    lastFinishedAt: dateOf(row.last_finished_at),
    failedAt: dateOf(row.failed_at),
    failCount: row.fail_count ?? undefined,
    failReason: row.fail_reason ?? undefined,
    repeatInterval: parsed(row.repeat_interval) as string | number | undefined,
    repeatAt: row.repeat_at ?? undefined,
    repeatTimezone: row.repeat_timezone ?? undefined,
    startDate: dateOf(row.start_date),
    endDate: dateOf(row.end_date),
    skipDays: parsed(row.skip_days) as number[] | undefined,
    debounceStartedAt: dateOf(row.debounce_started_at),
    disabled: row.disabled === 1,
    progress: row.progress ?? undefined,
    fork: row.fork === 1,
    lastModifiedBy: row.last_modified_by ?? undefined,
  };
}

function dateOf(time: number | null): Date | undefined {
  return time === null ? undefined : new Date(time);
}

function parsed(json: string | null): unknown {
  return json === null ? undefined : (JSON.parse(json) as unknown);
}

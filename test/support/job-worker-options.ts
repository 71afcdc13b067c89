export interface WorkerOptions {
  /** URL of the database with the table of {@link WORK} */
  readonly database: string;
  /** what `[jobs] url` says */
  readonly url: string;
  readonly lockLifetimeMs: number;
  readonly pollMs: number;
  readonly concurrency: number;
  /** ms of work in each job */
  readonly workMs: number;
  /** its handlers do not leave when they are told to */
  readonly deaf?: boolean;
}

/** What a worker tells. */
export interface WorkerEvent {
  readonly event: 'ready' | 'start' | 'done' | 'fenced' | 'stopped' | 'fault';
  readonly id?: string;
  /** ms since 1970 */
  readonly at: number;
  readonly message?: string;
}

/** Where effects are counted: as in the domain's tables, only the run that claimed a row last may finish it. */
export const WORK =
  'CREATE TABLE test_work (id VARCHAR(100) PRIMARY KEY, run_id VARCHAR(100), starts INTEGER NOT NULL, effects INTEGER NOT NULL)';

import type { JobKind } from '../../src/lib/job-queue.js';
import type { Daemon } from './serve.js';

/**
 * @param daemon one that logs at level debug
 * @returns `kind id` of every job that it began to run
 */
export function startedJobs(daemon: Pick<Daemon, 'log'>, kinds: readonly JobKind[] = ['ingest', 'cart']): string[] {
  return daemon
    .log()
    .split('\n')
    .filter((line) => line.includes('"job starts"'))
    .map((line) => JSON.parse(line) as { kind: JobKind; job: string })
    .filter(({ kind }) => kinds.includes(kind))
    .map(({ kind, job }) => `${kind} ${job}`);
}

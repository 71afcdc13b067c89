import type { DailyWindow } from '../lib/daily-window.js';
import type { JobHandler, JobQueue } from '../lib/job-queue.js';
import type { Metric } from '../lib/metric.js';
import { neverGivenUp } from '../lib/standing-job.js';
import type { VerifyRuns } from '../storage/database/archive-verify.js';
import type { ArchiveVerifier } from './verify.js';
import { everyFile } from './verify-selection.js';

/** what a round is written down as, and the id of its job */
const ROUND = 'schedule';

export interface VerifyScheduleOptions {
  readonly verifier: ArchiveVerifier;
  readonly runs: VerifyRuns;
  readonly queue: JobQueue;
  /** when files are read */
  readonly window: DailyWindow;
  /** ms from the beginning of a round to that of the next one */
  readonly intervalMs: number;
  /** bytes a second at most */
  readonly rate?: number;
  readonly log: { info(data: object, text: string): void; error(data: object, text: string): void };
}

/**
 * Verifies the whole archive in rounds, a part each day, beside a running daemon. A round is one job, so that one process
 * at a time is at it; how far it is is in the database, so that any that has the archive goes on.
 */
export class VerifySchedule {
  readonly #options: VerifyScheduleOptions;
  readonly #totals = { files: 0, bytes: 0, damaged: 0 };

  constructor(options: VerifyScheduleOptions) {
    this.#options = options;
  }

  /** Sees to it that there is a job when it is time. Call it every few seconds. */
  async tick(): Promise<void> {
    const isTime = async (): Promise<boolean> => (await this.#left()) !== undefined;
    // and once more, after a look at the queue: its job may have come to the end of the round meanwhile
    if (await isTime())
      await this.#options.queue.ensure('verify', [ROUND], async (ids) => ((await isTime()) ? ids : []));
  }

  /** @returns ms until the window closes; undefined when it is not open, or the next round has time */
  async #left(): Promise<number | undefined> {
    const { window, runs, intervalMs } = this.#options;
    const now = new Date();
    const left = window.left(now);
    if (left === undefined) return undefined;
    const last = await runs.find(ROUND);
    const rests = last !== undefined && last.ended !== null && now.getTime() < last.started + intervalMs;
    return rests ? undefined : left;
  }

  /** what this process did since its start */
  metrics(): Metric[] {
    const counter = (name: string, help: string, value: number): Metric => {
      return { name, help, type: 'counter', samples: [{ value }] };
    };
    const { files, bytes, damaged } = this.#totals;
    return [
      counter('pacifica_archive_verified_files_total', 'Archived files that were read back.', files),
      counter('pacifica_archive_verified_bytes_total', 'Bytes of them.', bytes),
      counter('pacifica_archive_damage_total', 'Archived files that were missing or not as recorded.', damaged),
    ];
  }

  /** The handler of `verify` jobs: reads until all is read or the window closes. */
  readonly handler: JobHandler = neverGivenUp(async (_id, { signal }) => {
    const { verifier, log, rate } = this.#options;
    const left = await this.#left();
    if (left === undefined) return;
    const result = await verifier.selection(
      { ...everyFile, name: ROUND },
      {
        resume: true,
        deadline: performance.now() + left,
        rate,
        signal,
        onFinding: (finding) => {
          if (finding.reason === 'unrecorded') return;
          this.#totals.damaged += 1;
          log.error({ ...finding }, 'a file of the archive is damaged');
        },
        onRead: (bytes) => (this.#totals.bytes += bytes),
        onCounts: () => (this.#totals.files += 1),
      },
    );
    log.info({ ...result }, result.complete ? 'the whole archive is verified' : 'a part of the archive is verified');
  });
}

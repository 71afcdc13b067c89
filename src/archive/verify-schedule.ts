import type { DailyWindow } from '../lib/daily-window.js';
import { messageOf } from '../lib/errors.js';
import type { Metric } from '../lib/metric.js';
import type { VerifyRuns } from '../storage/database/archive-verify.js';
import type { ArchiveVerifier, VerifyResult } from './verify.js';
import { everyFile } from './verify-selection.js';

/** what a round is written down as */
const ROUND = 'schedule';
/** ms without a sign of life after which the round of another process is taken over; see {@link ArchiveVerifier} */
const SILENCE = 60_000;

export interface VerifyScheduleOptions {
  readonly verifier: ArchiveVerifier;
  readonly runs: VerifyRuns;
  /** when files are read */
  readonly window: DailyWindow;
  /** ms from the beginning of a round to that of the next one */
  readonly intervalMs: number;
  /** bytes a second at most */
  readonly rate?: number;
  readonly log: { info(data: object, text: string): void; error(data: object, text: string): void };
}

/**
 * Verifies the whole archive in rounds, a part each day, beside a running daemon. Of several processes on one database
 * one is at it at a time; how far it is is in the database, so that any of them goes on.
 */
export class VerifySchedule {
  readonly #options: VerifyScheduleOptions;
  readonly #stop = new AbortController();
  readonly #totals = { files: 0, bytes: 0, damaged: 0 };
  #running: Promise<void> | undefined;

  constructor(options: VerifyScheduleOptions) {
    this.#options = options;
  }

  /** Begins, or goes on, when it is time and nobody else is at it; does not wait for its end. Call it every few seconds. */
  async tick(now: Date = new Date()): Promise<void> {
    const left = this.#options.window.left(now);
    if (left === undefined || this.#running !== undefined || this.#stop.signal.aborted) return;
    const last = await this.#options.runs.find(ROUND);
    if (last !== undefined) {
      const rests = last.ended !== null && now.getTime() < last.started + this.#options.intervalMs;
      const isOthers = last.ended === null && Math.abs(now.getTime() - last.updated) < SILENCE;
      if (rests || isOthers) return;
    }
    this.#running = this.#run(performance.now() + left).finally(() => (this.#running = undefined));
  }

  /** Stops reading; resolves when it is written down how far it is. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
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

  async #run(deadline: number): Promise<void> {
    const { verifier, log, rate } = this.#options;
    try {
      const result: VerifyResult = await verifier.selection(
        { ...everyFile, name: ROUND },
        {
          resume: true,
          deadline,
          rate,
          signal: this.#stop.signal,
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
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      log.error({ err: error }, `verifying the archive is broken off, and gone on with later: ${messageOf(error)}`);
    }
  }
}

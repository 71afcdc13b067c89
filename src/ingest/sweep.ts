import { isDead } from '../lib/process-mark.js';
import { type IngestJob, type IngestPhase, WORK } from '../storage/database/ingest-jobs.js';
import { Claim, newRun } from './claim.js';
import { removeLeftovers } from './leftovers.js';
import type { IngestParts } from './parts.js';
import { LEFTOVERS, PURGE_INTERVAL } from './purge.js';
import { isStuck } from './state.js';

/** ms without a sign of life after which an upload on another machine is taken for dead */
const SILENCE = 30_000;
/** ms without a sign of life after which the queue is asked about a job again */
const REMIND = 60_000;

interface Sighting {
  readonly beat: number;
  /** when we first saw this beat, by our own clock: that of another machine may be wrong */
  readonly at: number;
}

/**
 * Puts right what processes that died left behind. Every process may do it, at any time, again and again: at its start
 * and every few seconds.
 */
export class Sweeper {
  readonly #parts: IngestParts;
  #seen = new Map<number, Sighting>();
  /** one look at all jobs is done */
  #looked = false;
  #purged = -Infinity;
  /** stuck jobs that were told of */
  #stuck = new Set<number>();

  constructor(parts: IngestParts) {
    this.#parts = parts;
  }

  async sweep(): Promise<void> {
    const before = this.#seen;
    this.#seen = new Map();
    const told = this.#stuck;
    this.#stuck = new Set();
    await this.#each({ phases: ['receiving'] }, (job) => {
      this.#tellStuck(job, told);
      return this.#lookAtUpload(job, this.#see(job, before));
    });
    await this.#each({ phases: WORK }, (job) => {
      this.#tellStuck(job, told);
      return this.#lookAtWork(job, this.#see(job, before));
    });
    this.#looked = true;
    await this.#remind();
    if (performance.now() - this.#purged < PURGE_INTERVAL) return;
    await this.#parts.queue.ensure('ingest-purge', [LEFTOVERS], (ids) => Promise.resolve(ids));
    this.#purged = performance.now();
  }

  async #each(filter: { phases: readonly IngestPhase[] }, work: (job: IngestJob) => Promise<void>): Promise<void> {
    for (let after = 0; ;) {
      const jobs = await this.#parts.store.inPhase(filter, after);
      const last = jobs.at(-1);
      if (last === undefined) return;
      for (const job of jobs) {
        try {
          await work(job);
        } catch (error) {
          this.#parts.log.warn({ job: job.id, err: error }, 'can not put an ingest job right now');
        }
      }
      after = last.id;
    }
  }

  /** @returns ms since the job's last sign of life changed; undefined when we see the job for the first time */
  #see({ id, beat }: IngestJob, before: ReadonlyMap<number, Sighting>): number | undefined {
    const last = before.get(id);
    const now = performance.now();
    const sighting = last?.beat === beat ? last : { beat, at: now };
    this.#seen.set(id, sighting);
    return last === undefined ? undefined : now - sighting.at;
  }

  /** Says once of a job that it is stuck. */
  #tellStuck(job: IngestJob, told: ReadonlySet<number>): void {
    if (!isStuck(job, this.#parts.settings.stuckAfter)) return;
    this.#stuck.add(job.id);
    if (told.has(job.id)) return;
    const { id, task, taskPercent, exception, progressed } = job;
    const since = new Date(progressed).toISOString();
    this.#parts.log.warn({ job: id, task, taskPercent, exception, since }, 'this ingest job makes no progress');
  }

  async #lookAtUpload(job: IngestJob, silence: number | undefined): Promise<void> {
    const dead = job.process === null ? undefined : isDead(job.process);
    if (dead ?? (silence !== undefined && silence > SILENCE)) await this.#interrupt(job);
  }

  /** An upload whose process died: its sender has got no answer, and what came of the body is of no use. */
  async #interrupt(job: IngestJob): Promise<void> {
    const { store, log } = this.#parts;
    const run = newRun();
    if ((await store.takeOver(job, run)) === undefined) return;
    log.warn({ job: job.id }, 'the server stopped while this bundle came in');
    const claim = new Claim(store, job.id, run.runId, log);
    try {
      await removeLeftovers(this.#parts, job.id, run.runId);
      await claim.end({
        phase: 'failed',
        state: 'FAILED',
        exception: 'upload interrupted: the server stopped while it came in (send it again)',
        complete: true,
      });
    } finally {
      await claim.stop();
    }
  }

  /** What is there at the first look may have lost its job; what comes later has just got one. */
  async #lookAtWork({ id, beat }: IngestJob, silence = this.#looked ? 0 : Infinity): Promise<void> {
    if (silence < REMIND) return;
    this.#parts.unsure.add(id);
    this.#seen.set(id, { beat, at: performance.now() });
  }

  /** For jobs that the queue does not know any more, or never heard of. */
  async #remind(): Promise<void> {
    const { unsure, queue } = this.#parts;
    if (unsure.size === 0) return;
    const ids = [...unsure];
    await queue.ensure('ingest', ids.map(String), (some) => this.#unfinished(some));
    for (const id of ids) unsure.delete(id);
  }

  async #unfinished(ids: readonly string[]): Promise<readonly string[]> {
    const jobs = await Promise.all(ids.map((id) => this.#parts.store.find(Number(id))));
    return jobs.flatMap((job) => (job !== undefined && WORK.includes(job.phase) ? [String(job.id)] : []));
  }
}

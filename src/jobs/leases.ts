import type { JobId, JobParameters } from 'agenda';
import { setTimeout as sleep } from 'node:timers/promises';
import { PacificaError } from '../lib/errors.js';
import { Slots } from '../lib/slots.js';
import type { Finished, JobStore } from './store.js';

/** ms between two tries to write the end of a run */
const RETRY_END = 250;

export interface LeasesOptions {
  readonly store: JobStore;
  /** name of this process, unique for all time */
  readonly worker: string;
  /** ms after which a lock that was not renewed is anybody's */
  readonly lifetimeMs: number;
  /** how many jobs of a kind may be held at a time */
  readonly slotsOf: (kind: string) => number;
  /** a job of this kind went back and is to be had again */
  readonly onRelease: (kind: string) => void;
  /** a write failed and will be tried again, or its job will run again */
  readonly onError: (error: unknown) => void;
}

/**
 * What Agenda is told of when a lock was written: when it ends is known here. A job whose lock Agenda takes for too old
 * it drops without a word, with its slot.
 */
const YOUNG_FOR_EVER = new Date(8.64e15);

/** part of a lock's lifetime, from when the job was asked for, after which its run ought to have begun */
const LATE = 1 / 4;

/** @returns ms that no setting of the wall clock changes */
const clock = (): number => performance.now();

/** The lock that one run of a job holds. */
export class Lease {
  readonly token: string;
  readonly kind: string;
  readonly id: JobId;
  /** the job goes back undone when the run ends */
  handBack = false;
  /** what was written when the run ended, as far as that is known */
  finished: Finished | undefined;
  /** the run was told to Agenda */
  begun = false;
  readonly #asked: number;
  readonly #lifetimeMs: number;
  readonly #abort = new AbortController();
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => undefined;
  #expires: NodeJS.Timeout;
  #beat: NodeJS.Timeout | undefined;
  #expiresAt: number;
  #lost = false;

  /**
   * @param asked time of {@link clock} when the job was asked for
   * @param locked the same before the lock was written
   */
  constructor(token: string, kind: string, id: JobId, asked: number, locked: number, lifetimeMs: number) {
    this.token = token;
    this.kind = kind;
    this.id = id;
    this.#asked = asked;
    this.#lifetimeMs = lifetimeMs;
    this.#expiresAt = locked + lifetimeMs;
    this.#expires = this.#untilExpiry();
    this.#ended = new Promise((resolve) => (this.#resolveEnded = resolve));
  }

  /** aborted when the lock is lost, or when the process is to stop */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get lost(): boolean {
    return this.#lost;
  }

  get expired(): boolean {
    return clock() >= this.#expiresAt;
  }

  /** whether its run is late to begin: others that are taken before would make it later still */
  get isLate(): boolean {
    return !this.begun && clock() - this.#asked > LATE * this.#lifetimeMs;
  }

  /** resolves when the run is over and that was written */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Renews the lock at a third of its lifetime, until the end. */
  keep(renew: () => Promise<void>): void {
    let renewing = false;
    this.#beat = setInterval(() => {
      if (renewing) return;
      renewing = true;
      void renew().finally(() => (renewing = false));
    }, this.#lifetimeMs / 3);
  }

  /** @param locked time of {@link clock} before the lock was renewed */
  extend(locked: number): void {
    if (this.#lost) return;
    this.#expiresAt = locked + this.#lifetimeMs;
    clearTimeout(this.#expires);
    this.#expires = this.#untilExpiry();
  }

  /** Tells the run to leave. */
  abort(reason: string): void {
    this.#abort.abort(new PacificaError('aborted', reason));
  }

  lose(reason: string): void {
    if (this.#lost) return;
    this.#lost = true;
    this.stopTimers();
    this.abort(reason);
  }

  stopTimers(): void {
    clearTimeout(this.#expires);
    clearInterval(this.#beat);
  }

  end(): void {
    this.stopTimers();
    this.#resolveEnded();
  }

  #untilExpiry(): NodeJS.Timeout {
    return setTimeout(
      () => this.lose('the lock of this job could not be renewed in time'),
      Math.max(0, this.#expiresAt - clock()),
    );
  }
}

/** All locks on jobs that this process holds. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #held = new Map<string, Lease>();
  /** per kind: one job is taken after the other, so that no more than the slots are */
  readonly #taking = new Map<string, Slots>();
  /** kinds of which none was taken because one was late to begin */
  readonly #heldBack = new Set<string>();
  #taken = 0;
  #closed = false;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** those of runs that did not end yet */
  get held(): Lease[] {
    return [...this.#held.values()];
  }

  /** @returns the lease of a run, known by the token in `lastModifiedBy` */
  of(job: JobParameters): Lease | undefined {
    return this.#held.get(job.lastModifiedBy ?? '');
  }

  /**
   * Takes the next job of a kind, and its lock. Agenda begins none while it is handed more: on a slow database the lock
   * of the first would be old by then.
   * @returns undefined when there is none, when all slots are taken or one taken is late to begin, and after {@link close}
   */
  async take(kind: string): Promise<JobParameters | undefined> {
    const taking = this.#taking.get(kind) ?? new Slots(1);
    this.#taking.set(kind, taking);
    return taking.run(() => this.#take(kind));
  }

  /** @returns whether jobs of a kind were not taken, since the last call, because one was late to begin */
  heldBack(kind: string): boolean {
    return this.#heldBack.delete(kind);
  }

  async #take(kind: string): Promise<JobParameters | undefined> {
    const { store, worker, lifetimeMs, slotsOf } = this.#options;
    const held = this.held.filter((lease) => lease.kind === kind);
    if (this.#refuses() || held.length >= slotsOf(kind)) return undefined;
    if (held.some(({ isLate }) => isLate)) {
      this.#heldBack.add(kind);
      return undefined;
    }
    for (;;) {
      this.#taken += 1;
      const token = `${worker}/${this.#taken}`;
      const now = new Date();
      const asked = clock();
      const job = await store.take(kind, now, new Date(now.getTime() - lifetimeMs), token);
      if (job?._id === undefined) return undefined;
      const locked = await this.#freshLock(job._id, token, asked);
      if (locked === undefined) continue;
      const lease = new Lease(token, kind, job._id, asked, locked, lifetimeMs);
      this.#held.set(token, lease);
      if (this.#refuses() || lease.expired) {
        await this.release(lease);
        return undefined;
      }
      // due, whatever its time says: a job taken over from a dead worker may have been put anew for later
      return { ...job, lockedAt: YOUNG_FOR_EVER, nextRunAt: null, lastModifiedBy: token };
    }
  }

  /**
   * Makes a lock younger that a slow database took long to give: jobs would only ever go back otherwise.
   * @param asked time of {@link clock} before it was asked for
   * @returns time of {@link clock} before the lock was written; undefined when it is another worker's by now
   */
  async #freshLock(id: JobId, token: string, asked: number): Promise<number | undefined> {
    const { store, lifetimeMs } = this.#options;
    if (clock() - asked < lifetimeMs / 2) return asked;
    const renewed = clock();
    return (await store.renew(id, token, new Date())) ? renewed : undefined;
  }

  #refuses(): boolean {
    return this.#closed;
  }

  /**
   * Makes a lock younger.
   * @throws PacificaError `aborted` when it is lost; the run is then told to leave
   */
  async renew(lease: Lease, now: Date): Promise<void> {
    const locked = clock();
    if (!(await this.#options.store.renew(lease.id, lease.token, now))) {
      lease.lose('another worker has taken this job over, or it was cancelled');
      throw new PacificaError('aborted', 'the lock of this job is lost');
    }
    lease.extend(locked);
  }

  /** Writes the end of a run, and tries that for as long as the lock is sure. */
  async end(lease: Lease, job: JobParameters, remove: boolean): Promise<void> {
    const { store } = this.#options;
    if (lease.handBack) return this.release(lease);
    await this.#last(lease, async () => {
      lease.finished = await store.finish(job, lease.token, remove);
    });
  }

  /** Gives a job back undone, for anybody to take at once. Never rejects. */
  async release(lease: Lease): Promise<void> {
    const { store, onRelease } = this.#options;
    await this.#last(lease, () => store.release(lease.id, lease.token, new Date()));
    onRelease(lease.kind);
  }

  async #last(lease: Lease, write: () => Promise<void>): Promise<void> {
    // what happens to the lock from here on is no matter to the run
    lease.stopTimers();
    for (;;) {
      try {
        if (!lease.lost) await write();
        break;
      } catch (error) {
        this.#options.onError(error);
        // nobody else may have it before; afterwards it runs again
        if (lease.expired || !this.#held.has(lease.token)) break;
        await sleep(RETRY_END);
      }
    }
    this.#held.delete(lease.token);
    lease.end();
  }

  /** Takes no more jobs. Resolves when none is being taken. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#taking.values()].map((taking) => taking.run(() => Promise.resolve())));
  }
}

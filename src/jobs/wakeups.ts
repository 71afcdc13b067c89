import { InMemoryNotificationChannel, type NotificationChannel, toJobId } from 'agenda';
import { backoff } from '../lib/backoff.js';
import type { FaultLog } from './fault-log.js';
import type { JobStore } from './store.js';

/** longest wait that a timer of Node can do without overflow, and then some safety: ms */
const LONGEST_TIMER = 3_600_000;

/** ms until a look that failed is repeated, at first */
const LOOK_AGAIN = 200;

export interface WakeupsOptions {
  readonly store: Pick<JobStore, 'due'>;
  /** the kinds that this process works on */
  readonly kinds: readonly string[];
  /** tells of jobs put by other processes */
  readonly channel: NotificationChannel | undefined;
  /** name of this process, which knows already what it put itself */
  readonly worker: string;
  /** ms between two looks at what is due, in case that a call was missed */
  readonly lookEvery: number;
  readonly faults: FaultLog;
}

/**
 * Decides when Agenda is to fetch jobs. Agenda's own ways are a poll, and locking jobs long before they are due; here it
 * is called at the moment when a job becomes due: one was put, a delay is over, or a slot became free.
 */
export class Wakeups {
  /** what Agenda subscribes to */
  readonly local = new InMemoryNotificationChannel();
  readonly #options: WakeupsOptions;
  /** kinds whose jobs are being fetched; true: once more afterwards */
  readonly #calling = new Map<string, boolean>();
  #alarm: { at: number; timer: NodeJS.Timeout } | undefined;
  #looking = false;
  #lookAgain = false;
  /** looks in a row that failed */
  #failures = 0;
  #lookTimer: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;
  readonly #onState: (state: string) => void;
  #stopped = false;

  constructor(options: WakeupsOptions) {
    this.#options = options;
    // calls of the time when it was not connected are lost
    this.#onState = (state) => {
      if (state === 'connected') void this.look();
    };
  }

  /** Begins to listen and to look. Agenda must have subscribed. */
  start(): void {
    const { channel, worker, lookEvery } = this.#options;
    this.#unsubscribe = channel?.subscribe(({ jobName, nextRunAt, source }) => {
      if (source === worker) return;
      if (nextRunAt === null || nextRunAt.getTime() <= Date.now()) this.call(jobName);
      else this.at(nextRunAt);
    });
    channel?.on('stateChange', this.#onState);
    this.#lookTimer = setInterval(() => void this.look(), lookEvery);
    void this.look();
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#options.channel?.off('stateChange', this.#onState);
    clearInterval(this.#lookTimer);
    clearTimeout(this.#alarm?.timer);
    this.#alarm = undefined;
  }

  /** Has Agenda fetch jobs of a kind now. Calls that come while it does are one call afterwards. */
  call(kind: string): void {
    if (this.#stopped || !this.#options.kinds.includes(kind)) return;
    if (this.#calling.has(kind)) this.#calling.set(kind, true);
    else void this.#call(kind);
  }

  async #call(kind: string): Promise<void> {
    do {
      this.#calling.set(kind, false);
      const notice = { jobId: toJobId(''), jobName: kind, nextRunAt: null, priority: 0, timestamp: new Date() };
      try {
        await this.local.publish(notice);
      } catch (error) {
        this.#options.faults.report('can not fetch jobs', error);
      }
    } while (this.#calling.get(kind) === true);
    this.#calling.delete(kind);
  }

  /** Looks what is due at a time to come. */
  at(time: Date): void {
    if (this.#stopped) return;
    if (this.#alarm !== undefined && this.#alarm.at <= time.getTime()) return;
    clearTimeout(this.#alarm?.timer);
    const timer = setTimeout(
      () => {
        this.#alarm = undefined;
        void this.look();
      },
      Math.min(Math.max(time.getTime() - Date.now(), 0), LONGEST_TIMER),
    );
    this.#alarm = { at: time.getTime(), timer };
  }

  /** Calls for what is due, and sets the alarm for what will be. */
  async look(): Promise<void> {
    this.#lookAgain = this.#looking;
    if (this.#looking || this.#stopped) return;
    this.#looking = true;
    try {
      const now = new Date();
      for (const { kind, at } of await this.#options.store.due(this.#options.kinds, now)) {
        if (at <= now) this.call(kind);
        else this.at(at);
      }
      this.#failures = 0;
    } catch (error) {
      this.#options.faults.report('can not look for jobs that are due', error);
      this.#failures += 1;
      const { lookEvery } = this.#options;
      this.at(new Date(Date.now() + backoff(this.#failures, { first: LOOK_AGAIN, longest: lookEvery })));
    } finally {
      this.#looking = false;
    }
    if (this.#lookAgain) await this.look();
  }
}

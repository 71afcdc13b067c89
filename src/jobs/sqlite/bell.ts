import {
  closeSync,
  fstatSync,
  type FSWatcher,
  openSync,
  readSync,
  renameSync,
  statSync,
  watch,
  writeSync,
} from 'node:fs';
import { BaseNotificationChannel, type JobNotification, toJobId } from 'agenda';
import { PacificaError } from '../../lib/errors.js';

/** bytes after which the file begins anew */
const LIMIT = 1024 * 1024;
/** ms until a file that can not be watched is tried again */
const RECONNECT = 1000;

/**
 * Tells other processes of this machine of new jobs: a file to which each writes a line a job, and which all watch.
 * A lost line is no matter, it is only a hint to look into the database; so nothing here is locked or synced. Chosen
 * over sockets since it leaves nothing behind by a process that dies, needs no list of who listens, and has no limit
 * to the length of its path. The file may be deleted at any time.
 */
export class Bell extends BaseNotificationChannel {
  readonly #file: string;
  #watcher: FSWatcher | undefined;
  /** which file is watched: it is replaced when it has grown */
  #inode = 0;
  /** how much of it was read */
  #read = 0;
  /** begin of a line whose end is not written yet */
  #rest = '';

  /** @param file beside the database, on a file system of this machine */
  constructor(file: string) {
    super({ reconnect: { enabled: true, initialDelayMs: RECONNECT } });
    this.#file = file;
  }

  async connect(): Promise<void> {
    this.clearReconnect();
    if (this.#watcher !== undefined) return;
    try {
      const file = openSync(this.#file, 'a');
      const { ino, size } = fstatSync(file);
      closeSync(file);
      this.#inode = ino;
      this.#read = size;
      this.#rest = '';
      // not persistent: it is no reason for the process to stay
      this.#watcher = watch(this.#file, { persistent: false }, () => this.#listen());
      this.#watcher.on('error', (error) => {
        this.emit('error', error);
        this.#reopen();
      });
    } catch (error) {
      this.emit('error', error);
      this.scheduleReconnect();
      throw error;
    }
    this.setState('connected');
  }

  async disconnect(): Promise<void> {
    this.clearReconnect();
    this.#watcher?.close();
    this.#watcher = undefined;
    this.handlers.clear();
    this.setState('disconnected');
  }

  async publish(notification: JobNotification): Promise<void> {
    if (this._state !== 'connected') throw new PacificaError('internal', 'the channel of jobs is not connected');
    if ((statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0) > LIMIT) this.#beginAnew();
    // one call of write() to a file opened for appending: lines of several processes do not mix
    const file = openSync(this.#file, 'a');
    try {
      writeSync(file, `${JSON.stringify(notification)}\n`);
    } finally {
      closeSync(file);
    }
  }

  /** A new file beside the old one takes its name: while both are there they can not have the same inode. */
  #beginAnew(): void {
    const fresh = `${this.#file}.${process.pid}`;
    closeSync(openSync(fresh, 'w'));
    renameSync(fresh, this.#file);
  }

  /** Reads what was written since. */
  #listen(): void {
    try {
      const now = statSync(this.#file, { throwIfNoEntry: false });
      if (now?.ino !== this.#inode || now.size < this.#read) {
        this.#reopen();
        return;
      }
      const file = openSync(this.#file, 'r');
      try {
        const bytes = Buffer.alloc(now.size - this.#read);
        this.#read += readSync(file, bytes, 0, bytes.length, this.#read);
        const lines = (this.#rest + bytes.toString()).split('\n');
        this.#rest = lines.pop() ?? '';
        for (const line of lines) this.#tell(line);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      this.emit('error', error);
      this.#reopen();
    }
  }

  #tell(line: string): void {
    const text = parse(line);
    if (text === undefined) return;
    void this.notifyHandlers({
      ...text,
      jobId: toJobId(text.jobId),
      nextRunAt: text.nextRunAt === null ? null : new Date(text.nextRunAt),
      timestamp: new Date(text.timestamp),
    });
  }

  /** Watches the file that is there now. Calls may have been missed: coming back makes the queue look for itself. */
  #reopen(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.setState('reconnecting');
    // connect() tells of its failure, and tries again later
    this.connect().catch(() => undefined);
  }
}

type Line = Omit<JobNotification, 'nextRunAt' | 'timestamp'> & { nextRunAt: string | null; timestamp: string };

/** @returns undefined for what no process of ours wrote whole, such as a line cut by a full disk */
function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return undefined;
  }
}

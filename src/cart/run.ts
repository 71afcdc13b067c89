import { setMaxListeners } from 'node:events';
import { lstat, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Archive } from '../archive/archive.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { mayPass, messageOf, PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { ioBuffer } from '../lib/io-buffer.js';
import { makeFolders } from '../lib/make-folders.js';
import { Slots } from '../lib/slots.js';
import { READ_SIZE } from '../lib/random-reader.js';
import { TarLayout } from '../lib/tar/layout.js';
import type { CartChanges, CartFile, CartTables, ClaimedCart } from '../storage/database/carts.js';
import { Bringer, spaceFor } from './bring.js';
import type { CartFolders } from './folders.js';
import { Journal } from './journal.js';
import type { Links } from './links.js';
import { failureMessage, NAMED_FAILURES } from './message.js';
import type { Space } from './space.js';
import { CartTar, newFolders } from './tar.js';

export interface RunParts {
  readonly tables: CartTables;
  readonly archive: Archive;
  readonly folders: CartFolders;
  readonly space: Space;
  readonly log: Logger;
  readonly links: Links;
  /** bytes a read when copying */
  readonly transferSize: number;
  /** files that are brought at a time */
  readonly concurrency: number;
}

/** files a query */
const BATCH = 500;
/** questions that the archive is asked at a time */
const QUESTIONS = 16;
/** ids a stage request */
const STAGE_IDS = 10_000;
/** tries of one file in one run, and the ms before the second one; doubled for each further one */
const TRIES = 3;
const RETRY_WAIT = 200;
/** failures in a row of the kind that may pass: the archive is down, the rest waits for the next run */
const GIVE_UP_AFTER = 8;
/** runs in a row that got nothing done before the cart ends in error */
const MAX_FAILURES = 8;
/** room for one entry's header and padding, when a tar's length is not known yet */
const TAR_ENTRY = 2048;
/** ms of work without a pause after which others get their turn */
const TIME_SLICE = 5;

/**
 * One try to bring a cart to its end. What it gets done is journalled; the next run goes on from there.
 * Throws what may pass, to be run again later; `aborted` when the cart is no longer its own; anything else is the cart's
 * end in `error`.
 */
export class CartRun {
  readonly #parts: RunParts;
  readonly #cart: ClaimedCart;
  readonly #runId: string;
  readonly #stop: AbortController;
  readonly #journal: Journal;
  readonly #bringer: Bringer;
  /** a small cart's unfinished files: its rows are read once and written once */
  #all: CartFile[] | undefined;
  #filesReady: number;
  #bytesReady: number;
  #bytesTotal: number | null;
  #bytesComing = 0;
  #reserved = 0;
  readonly #reserving = new Slots(1);
  #occupied: number;
  #copies = false;
  #sliceEnd = 0;
  /** positions of files that are not on disk yet */
  readonly #onTape: Positions;
  #ready: number | null;
  #failed: number;
  #done = 0;
  /** what may pass, of the file that failed last */
  #passing: PacificaError | undefined;
  #passingInRow = 0;

  /**
   * @param cart as it was claimed
   * @param stop aborted to stop the run; the run aborts it itself when the cart is no longer its own
   */
  constructor(parts: RunParts, cart: ClaimedCart, runId: string, stop: AbortController) {
    this.#parts = parts;
    this.#cart = cart;
    this.#runId = runId;
    this.#stop = stop;
    this.#filesReady = cart.filesReady;
    this.#bytesReady = cart.bytesReady;
    this.#bytesTotal = cart.bytesTotal;
    this.#occupied = cart.occupied;
    this.#ready = cart.ready;
    this.#failed = cart.filesFailed;
    this.#onTape = new Positions(cart.filesTotal);
    this.#journal = new Journal(
      parts.tables,
      cart,
      runId,
      () => this.#progress(),
      (error) => stop.abort(error),
    );
    // every worker listens while it waits
    setMaxListeners(0, stop.signal);
    this.#bringer = new Bringer(parts.archive, parts.links, parts.folders.scratch(cart, runId), parts.transferSize);
  }

  async run(): Promise<void> {
    const { folders } = this.#parts;
    try {
      if (await this.#isBundled()) return await this.#finish('bundle');
      await folders.prepare(this.#cart);
      await this.#recheck();
      await this.#open();
      await this.#measure();
      await this.#reserve();
      await this.#bringAll();
      await this.#conclude();
    } catch (error) {
      // so that it need not be done again; what went wrong first is what counts
      await this.#journal.write().catch(() => undefined);
      throw error;
    } finally {
      await this.#journal.stop();
      await folders.removeScratch(this.#cart, this.#runId);
    }
  }

  /** The tar gets its name when all files were staged, and then they are removed. */
  async #isBundled(): Promise<boolean> {
    const { bundle, filesReady, filesTotal } = this.#cart;
    return bundle && filesReady === filesTotal && (await this.#parts.folders.hasBundle(this.#cart));
  }

  #progress(): CartChanges {
    return {
      filesReady: this.#filesReady,
      bytesReady: this.#bytesReady + this.#bytesComing,
      bytesTotal: this.#bytesTotal,
      reserved: this.#reserved,
      occupied: this.#occupied,
    };
  }

  /** What an earlier run staged may have been lost in a power cut. */
  async #recheck(): Promise<void> {
    if (this.#filesReady === 0) return;
    const data = this.#parts.folders.data(this.#cart);
    for await (const file of this.#files((from) => this.#parts.tables.filesOf(this.#cart.id, 'staged', from, BATCH))) {
      const stats = await lstat(join(data, file.path)).catch((error: unknown) => {
        if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
        throw wrapSystemError(error, `can not look at a file of cart ${this.#cart.id}`);
      });
      if (stats?.isFile() === true && stats.size === file.size) continue;
      this.#filesReady -= 1;
      this.#bytesReady -= file.size ?? 0;
      await this.#journal.note({ ...file, status: 'waiting' });
    }
    await this.#journal.write();
  }

  /** Reads the rows of a small cart, and finds out whether its files have to be copied. */
  async #open(): Promise<void> {
    const { tables } = this.#parts;
    if (this.#cart.filesTotal <= BATCH) this.#all = await tables.unfinishedFiles(this.#cart.id, 0, BATCH);
    this.#copies = !(await this.#bringer.canLink(this.#unfinished()));
  }

  /** Asks the archive for sizes and times, and for all that is on tape to be brought to disk. */
  async #measure(): Promise<void> {
    let bytes = this.#bytesReady;
    const onTape: ArchiveId[] = [];
    await this.#each(QUESTIONS, async (file) => {
      const here = this.#copies ? undefined : this.#bringer.sizeOf(file);
      if (here !== undefined) {
        bytes += here;
        return;
      }
      const id = parseArchiveId(file.archiveId);
      const status = await this.#tryFile(file, () => this.#parts.archive.status(id));
      if (status === undefined) return;
      bytes += status.size;
      const mtime = Math.floor(status.mtimeMs / 1000);
      await this.#change(file, { ...file, status: 'staging', size: status.size, mtime });
      if (status.media === 'disk') return;
      this.#onTape.add(file.position);
      onTape.push(id);
      // as many as one request takes: a million would fill the memory
      if (onTape.length >= STAGE_IDS) await this.#stage(onTape.splice(0));
    });
    if (this.#passing === undefined) this.#bytesTotal = bytes;
    if (onTape.length > 0) await this.#stage(onTape);
    if (this.#all === undefined) await this.#journal.write();
  }

  async #stage(ids: readonly ArchiveId[]): Promise<void> {
    try {
      await this.#parts.archive.stage(ids);
    } catch (error) {
      if (mayPass(error)) throw error;
      // one was deleted a moment ago: the next run finds out which
      throw new PacificaError('not-ready', messageOf(error), { cause: error });
    }
  }

  async #reserve(): Promise<void> {
    const { bundle } = this.#cart;
    if (!this.#copies && !bundle) return;
    let bytes = bundle ? this.#bytesReady : 0;
    for await (const file of this.#unfinished()) {
      const size = file.size ?? (bundle ? this.#bringer.sizeOf(file) : undefined) ?? 0;
      bytes += (this.#copies ? spaceFor(size) : 0) + (bundle ? size : 0);
    }
    if (bundle) bytes += this.#cart.filesTotal * TAR_ENTRY;
    await this.#keepFree(bytes);
  }

  /** Keeps that many bytes of the volume free for this cart, beside those that it keeps already. */
  async #keepFree(bytes: number): Promise<void> {
    await this.#reserving.run(async () => {
      await this.#parts.space.reserve(this.#cart, this.#runId, this.#reserved + bytes);
      this.#reserved += bytes;
    });
  }

  async #bringAll(): Promise<void> {
    const data = this.#parts.folders.data(this.#cart);
    await this.#each(this.#parts.concurrency, async (file) => {
      if ((this.#copies && file.size === null) || this.#onTape.has(file.position)) return;
      let coming = 0;
      const settle = (): void => {
        this.#bytesComing -= coming;
        coming = 0;
      };
      const brought = await this.#tryFile(file, async () => {
        settle();
        return this.#bringer.bring(file, join(data, file.path), {
          signal: this.#stop.signal,
          reserve: (bytes) => (this.#copies ? Promise.resolve() : this.#keepFree(bytes)),
          onBytes: (bytes) => {
            coming += bytes;
            this.#bytesComing += bytes;
          },
        });
      });
      settle();
      if (brought === undefined) return;
      const { size, mtime, written } = brought;
      this.#filesReady += 1;
      this.#bytesReady += size;
      this.#reserved = Math.max(0, this.#reserved - written);
      this.#occupied += written;
      this.#done += 1;
      await this.#change(file, { ...file, status: 'staged', message: '', size, mtime });
    });
  }

  /**
   * Does something for a file, again when it fails for a reason that may pass.
   * @returns undefined when it did not work: the file has ended in error, or waits for the next run
   */
  async #tryFile<T>(file: CartFile, work: () => Promise<T>): Promise<T | undefined> {
    for (let tried = 1; ; tried += 1) {
      this.#stop.signal.throwIfAborted();
      try {
        const done = await work();
        this.#passingInRow = 0;
        return done;
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (!mayPass(error)) {
          await this.#fail(file, error);
          return undefined;
        }
        this.#passingInRow += 1;
        if (tried === TRIES || this.#passingInRow >= GIVE_UP_AFTER) {
          this.#passing = wrapSystemError(error, file.path);
          return undefined;
        }
        await sleep(RETRY_WAIT * 2 ** (tried - 1), undefined, { signal: this.#stop.signal });
      }
    }
  }

  async #fail(file: CartFile, error: unknown): Promise<void> {
    // these are not the file's fault
    if (error instanceof PacificaError && ['no-space', 'aborted'].includes(error.code)) throw error;
    this.#failed += 1;
    this.#parts.log.warn({ cart: this.#cart.uid, path: file.path, err: error }, 'a file of a cart failed');
    await this.#change(file, { ...file, status: 'error', message: reasonOf(error) });
  }

  async #change(file: CartFile, changed: CartFile): Promise<void> {
    if (this.#all !== undefined) this.#all[this.#all.indexOf(file)] = changed;
    await this.#journal.note(changed);
  }

  async #conclude(): Promise<void> {
    if (this.#passing !== undefined) await this.#endTry(this.#passing);
    if (this.#onTape.size > 0) {
      await this.#journal.write({ runId: null, failures: 0 });
      throw new PacificaError('not-ready', `${this.#onTape.size} files of the cart are still on tape`);
    }
    if (this.#failed > 0) return this.#endInError();
    await this.#parts.folders.sync(this.#cart, this.#folderPaths());
    if (!this.#cart.bundle) return this.#finish('data');
    await this.#journal.write({ status: 'bundling' });
    await this.#writeBundle();
    return this.#finish('bundle');
  }

  /** The files that are left wait for the next run, unless there were too many of those already. */
  async #endTry(error: PacificaError): Promise<void> {
    const failures = this.#done > 0 ? 1 : this.#cart.failures + 1;
    if (failures < MAX_FAILURES) {
      await this.#journal.write({ runId: null, failures, reserved: 0 });
      throw error;
    }
    await this.#journal.write();
    await this.#parts.tables.failUnfinished(this.#cart.id, this.#runId, reasonOf(error));
    this.#failed = await this.#parts.tables.countFiles(this.#cart.id, 'error');
    this.#onTape.clear();
  }

  async #endInError(): Promise<void> {
    await this.#journal.write();
    const first = await this.#parts.tables.filesOf(this.#cart.id, 'error', 0, NAMED_FAILURES);
    const message = failureMessage(this.#failed, this.#cart.filesTotal, first);
    this.#reserved = 0;
    await this.#journal.write({ status: 'error', message, runId: null });
  }

  async #finish(to: 'data' | 'bundle'): Promise<void> {
    const { folders } = this.#parts;
    this.#reserved = 0;
    await this.#journal.write(
      { status: 'ready', message: '', ready: this.#readyTime(), runId: null, failures: 0 },
      async () => folders.link(this.#cart, to),
    );
    await folders.syncLinks();
  }

  /** When it became ready for the first time: once said, the time of the tar's folders. */
  #readyTime(): number {
    this.#ready ??= Date.now();
    return this.#ready;
  }

  /** Makes the tar on disk; it gets its name when all of it is durable. Then the files it was made of go. */
  async #writeBundle(): Promise<void> {
    const { folders, tables } = this.#parts;
    const folder = folders.data(this.#cart);
    const readyMs = this.#readyTime();
    const layout = await TarLayout.of(new CartTar(tables, this.#cart, { folder, top: this.#cart.uid, readyMs }));
    // its length is known now
    this.#reserved = 0;
    await this.#keepFree(layout.size);
    const scratch = folders.scratch(this.#cart, this.#runId);
    await makeFolders(scratch);
    const path = join(scratch, 'bundle');
    const reader = layout.reader();
    try {
      const file = await open(path, 'w', 0o644);
      try {
        const buffer = ioBuffer(READ_SIZE);
        for (let position = 0; position < layout.size;) {
          this.#stop.signal.throwIfAborted();
          const got = await reader.read(buffer, position);
          for (let at = 0; at < got;) at += (await file.write(buffer, at, got - at)).bytesWritten;
          position += got;
          this.#reserved = layout.size - position;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      const copies = this.#occupied;
      this.#occupied += spaceFor(layout.size);
      // not a moment after somebody deleted the cart
      await this.#journal.write({}, () => rename(path, folders.bundle(this.#cart)));
      await folders.sync(this.#cart, none());
      await folders.removeData(this.#cart);
      this.#occupied -= copies;
    } catch (error) {
      throw wrapSystemError(error, 'can not write the tar');
    } finally {
      await reader.close();
    }
  }

  /** Hands out the unfinished files, `concurrency` at a time. */
  async #each(concurrency: number, work: (file: CartFile) => Promise<void>): Promise<void> {
    const files = this.#unfinished();
    const worker = async (): Promise<void> => {
      for await (const file of shared(files)) {
        if (this.#passingInRow >= GIVE_UP_AFTER) return;
        await work(file);
        if (performance.now() > this.#sliceEnd) {
          await nextTurn();
          this.#sliceEnd = performance.now() + TIME_SLICE;
        }
      }
    };
    const workers = Array.from({ length: concurrency }, () =>
      worker().catch((error: unknown) => {
        this.#stop.abort(error);
        throw error;
      }),
    );
    // all of them have to be at rest before the run ends
    const ends = await Promise.allSettled(workers);
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  async *#unfinished(): AsyncGenerator<CartFile> {
    const { tables } = this.#parts;
    if (this.#all !== undefined) {
      for (const file of [...this.#all]) if (file.status === 'waiting' || file.status === 'staging') yield file;
    } else {
      yield* this.#files((from) => tables.unfinishedFiles(this.#cart.id, from, BATCH));
    }
  }

  /** @param some gives the next {@link BATCH} files from a place in the tar on */
  async *#files(some: (from: number) => Promise<CartFile[]>): AsyncGenerator<CartFile> {
    for (let from = 0; ;) {
      this.#stop.signal.throwIfAborted();
      const files = await some(from);
      yield* files;
      const last = files.at(-1);
      if (last === undefined || files.length < BATCH) return;
      from = last.position + 1;
    }
  }

  async *#folderPaths(): AsyncGenerator<string> {
    const { tables } = this.#parts;
    const files = this.#files((from) => tables.filesWithNewFolders(this.#cart.id, from, BATCH));
    for await (const file of files) yield* newFolders(file);
  }
}

/** A set of places in the tar: a bit each. */
class Positions {
  readonly #bits: Uint8Array;
  /** how many are in it */
  size = 0;

  /** @param total places that there are */
  constructor(total: number) {
    this.#bits = new Uint8Array(Math.ceil(total / 8));
  }

  has(position: number): boolean {
    return (((this.#bits[position >>> 3] ?? 0) >>> (position & 7)) & 1) === 1;
  }

  add(position: number): void {
    if (this.has(position)) return;
    this.#bits[position >>> 3] = (this.#bits[position >>> 3] ?? 0) | (1 << (position & 7));
    this.size += 1;
  }

  clear(): void {
    this.#bits.fill(0);
    this.size = 0;
  }
}

/** Lets several workers take from one generator: leaving a loop early would end it for all. */
async function* shared<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  for (;;) {
    const next = await items.next();
    if (next.done === true) return;
    yield next.value;
  }
}

async function* none(): AsyncGenerator<string> {
  // nothing but the cart's own folders
}

/** @returns what the person who asked for the cart may read: our own faults are told in the log */
function reasonOf(error: unknown): string {
  if (systemCode(error) === 'ENAMETOOLONG') return 'The path is too long for the volume.';
  if (error instanceof PacificaError && error.code !== 'internal') return error.message;
  return 'The server met an error of its own; its log says which.';
}

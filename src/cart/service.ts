import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Archive } from '../archive/archive.js';
import { messageOf, mayPass, PacificaError, wrapSystemError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import type { JobHandler, JobQueue, JobRetries, JobRows, JobRun } from '../lib/job-queue.js';
import { Lru } from '../lib/lru.js';
import { makeFolders } from '../lib/make-folders.js';
import type { RandomReader } from '../lib/random-reader.js';
import { neverGivenUp } from '../lib/standing-job.js';
import { TarLayout } from '../lib/tar/layout.js';
import { type Cart, type CartFile, type CartTables, type ClaimedCart, UNFINISHED } from '../storage/database/carts.js';
import { CartFolders } from './folders.js';
import { Leases } from './leases.js';
import { Links } from './links.js';
import { allFiles, findWrong, type Look } from './mend.js';
import { oneLine } from './message.js';
import { downloadName, parseCartUid } from './names.js';
import { CartRequest } from './request.js';
import { CartRun, type RunParts } from './run.js';
import { NO_SPACE, Space } from './space.js';
import { CartTar, type CartTarEntry } from './tar.js';

export interface CartSettings {
  /** ms since its last use that a cart is safe from making room for another */
  readonly lruBufferTimeMs: number;
  /** whether carts are deleted to make room */
  readonly lruPurge: boolean;
  /** whether the tar of a cart that does not say is made on disk */
  readonly bundleDefault: boolean;
  /** `auto`: link where possible; `always`: copy */
  readonly copy: 'auto' | 'always';
  /** bytes a read when copying */
  readonly transferSize: number;
  /** files of one cart that are brought at a time */
  readonly concurrency: number;
}

export interface CartServiceParts {
  readonly tables: CartTables;
  readonly archive: Archive;
  readonly queue: JobQueue;
  /** folder where carts lie; made when it is not there */
  readonly volume: string;
  readonly settings: CartSettings;
  readonly log: Logger;
}

/** A ready cart's tar, open for sending. */
export interface CartDownload {
  /** name for the client to save it under */
  readonly fileName: string;
  /** strong validator without quotes */
  readonly etag: string;
  /** ms since 1970 */
  readonly lastModified: number;
  readonly reader: RandomReader;
  /** Ends the download: from then on the cart may be purged. */
  close(): Promise<void>;
}

/** ms without a sign of life after which an unfinished cart is queued again: longer than the queue waits between tries */
const STALLED = 600_000;
/** id of the `cart-purge` job that removes the data of deleted carts */
const DELETED = 'deleted';
/** id of the one that removes folders that belong to no cart */
const ORPHANS = 'orphans';
/** ms between two looks for such folders */
const ORPHANS_INTERVAL = 3_600_000;
/** layouts of tars that are kept for the next request, which often is for another range */
const LAYOUTS = 32;
const BATCH = 500;
/** to be changed with anything that changes the bytes of a tar: nobody may resume one of before */
const TAR_FORM = 2;
const REMOVE_LATER = 'a deleted cart could not be removed now; it is tried again later';
/** ms that a client waits for the space of the cart that it deletes */
const DELETE_WAIT = 5000;

/**
 * Carts: a list of archived files becomes one download. What a cart is and how far, is in the tables; every process that
 * shares them may make, mend, send and remove any cart.
 */
export class CartService {
  readonly #tables: CartTables;
  readonly #queue: JobQueue;
  readonly #settings: CartSettings;
  readonly #log: Logger;
  readonly #folders: CartFolders;
  readonly #leases: Leases;
  readonly #parts: RunParts;
  /** runs in this process, by cart */
  readonly #runs = new Map<number, { stop: AbortController; ended: Promise<unknown> }>();
  readonly #layouts = new Lru<string, TarLayout<CartTarEntry>>(LAYOUTS);
  readonly #removals = new Set<Promise<void>>();
  #swept = false;
  #orphansLooked = 0;

  constructor({ tables, archive, queue, volume, settings, log }: CartServiceParts) {
    this.#tables = tables;
    this.#queue = queue;
    this.#settings = settings;
    this.#log = log;
    this.#folders = new CartFolders(volume);
    this.#leases = new Leases(tables, log);
    const { lruBufferTimeMs, lruPurge, copy, transferSize, concurrency } = settings;
    const links = new Links(copy === 'auto');
    const removeDeleted = (): Promise<unknown> => this.#removeDeleted();
    const space = new Space(tables, { volume, lruBufferTimeMs, lruPurge, removeDeleted });
    this.#parts = { tables, archive, folders: this.#folders, space, log, links, transferSize, concurrency };
  }

  /**
   * Makes a cart; the uid's older ones are deleted. When it resolves the cart is stored and on the queue.
   * @param body of the POST, JSON; its files are stored as they come
   * @throws PacificaError `invalid` naming what is wrong; what `body` throws. Nothing is left of the cart then.
   */
  async create(uid: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    const request = new CartRequest(body);
    const posting = this.#tables.post(parseCartUid(uid));
    let posted: { id: number; replaced: number[] };
    try {
      for await (const files of request.files()) await posting.add(files);
      const { bundle } = request;
      posted = await posting.finish({ bundle: bundle ?? this.#settings.bundleDefault, bundleAsked: bundle === true });
    } catch (error) {
      await posting.discard();
      throw error;
    }
    await this.#queue.add('cart', String(posted.id));
    // nobody waits for the old ones to go
    void this.#discardLater(posted.replaced);
  }

  /**
   * @returns the uid's newest cart; undefined when there is none, or it was deleted
   * @throws PacificaError `invalid` for what is no uid
   */
  async find(uid: string): Promise<Cart | undefined> {
    return this.#tables.find(parseCartUid(uid));
  }

  /**
   * Where an unfinished cart stands that waits for its next try.
   * @returns undefined when it does not, and when the queue can not tell now: it is an extra
   */
  async retries({ id, status }: Cart): Promise<JobRetries | undefined> {
    if (!UNFINISHED.includes(status)) return undefined;
    try {
      return await this.#queue.retries('cart', String(id));
    } catch (error) {
      this.#log.warn({ cart: id, err: error }, 'can not ask the queue about a cart');
      return undefined;
    }
  }

  /** @returns uids of carts by their ids, of deleted ones too */
  async uidsOf(ids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    return this.#tables.uidsOf(ids);
  }

  /** Carts as an admin of the queue sees them. */
  readonly rows: JobRows = {
    cancel: async (id, reason) => {
      const { status } = await this.#byId(id);
      if (await this.#tables.cancel(Number(id), oneLine(reason))) return false;
      throw new PacificaError('precondition', `cart job ${id} can not be cancelled, the cart has ended (${status})`);
    },
    reopen: async (id) => {
      const cart = await this.#byId(id);
      if (cart.status === 'error') await this.mend(cart);
      return cart.status !== 'ready';
    },
  };

  /** @throws PacificaError `not-found` */
  async #byId(id: string): Promise<Cart> {
    const cart = await this.#tables.get(Number(id));
    if (cart?.deleted !== null) throw new PacificaError('not-found', `there is no cart ${id}`);
    return cart;
  }

  /** @returns the failed files of a cart, in the order of its tar */
  async *failures({ id }: Cart): AsyncGenerator<CartFile> {
    for (let from = 0; ;) {
      const files = await this.#tables.filesOf(id, 'error', from, BATCH);
      yield* files;
      const last = files.at(-1);
      if (last === undefined || files.length < BATCH) return;
      from = last.position + 1;
    }
  }

  /** @returns all files of a cart, in the order of its tar */
  files(cart: Cart): AsyncGenerator<CartFile> {
    return allFiles(this.#tables, cart);
  }

  /**
   * Opens the tar of a ready cart.
   * @param filename the client's wish, see {@link downloadName}
   * @returns undefined when the cart was deleted or taken to pieces meanwhile
   * @throws PacificaError `invalid` for a bad file name; anything else when the cart's files can not be read
   */
  async download(cart: Cart, filename: string | undefined): Promise<CartDownload | undefined> {
    const readyMs = cart.ready ?? cart.updated;
    const name = downloadName(filename, readyMs);
    if (!(await this.#leases.take(cart.id))) return undefined;
    try {
      const top = cart.bundle ? cart.uid : name.top;
      const reader = cart.bundle
        ? FileReader.open(this.#folders.bundle(cart))
        : (await this.#layout(cart, top, readyMs)).reader();
      const parts = [TAR_FORM, cart.uid, cart.id, cart.created, readyMs, top];
      return {
        fileName: name.file,
        etag: createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 27),
        lastModified: readyMs,
        reader,
        close: async () => {
          await reader.close();
          await this.#leases.give(cart.id);
        },
      };
    } catch (error) {
      await this.#leases.give(cart.id);
      throw error;
    }
  }

  async #layout(cart: Cart, top: string, readyMs: number): Promise<TarLayout<CartTarEntry>> {
    const key = JSON.stringify([cart.id, readyMs, top]);
    const known = this.#layouts.get(key);
    if (known !== undefined) return known;
    const tar = new CartTar(this.#tables, cart, { folder: this.#folders.data(cart), top, readyMs });
    const layout = await TarLayout.of(tar);
    this.#layouts.set(key, layout);
    return layout;
  }

  /**
   * Deletes the uid's cart: its work stops, and its space is free when this resolves; a little later when it is large,
   * or being downloaded.
   * @throws PacificaError `not-found`
   */
  async remove(uid: string): Promise<void> {
    const ids = await this.#tables.delete(parseCartUid(uid));
    if (ids.length === 0) throw new PacificaError('not-found', `No cart with uid ${uid} found`);
    // a million files take minutes: the client is not to give up on an answer that it has as good as got
    await Promise.race([this.#discardLater(ids), sleep(DELETE_WAIT, undefined, { ref: false })]);
  }

  #discardLater(ids: readonly number[]): Promise<void> {
    const removal = this.#discard(ids).finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
    return removal;
  }

  /**
   * Checks what a finished cart has on disk, and brings again what is missing or wrong; files that had failed are tried
   * again. An unfinished cart is put on the queue. The cart is as it was when nothing is wrong.
   * @returns the number of files that are brought again
   * @throws PacificaError `not-found` when it was deleted meanwhile; what the signal says when that ended the look: what
   * had been found is brought again
   */
  async mend(cart: Cart, look: Look = {}): Promise<number> {
    if (UNFINISHED.includes(cart.status)) {
      await this.#queue.add('cart', String(cart.id));
      return 0;
    }
    let wrong = await this.#tables.countFiles(cart.id, 'error');
    for await (const positions of inBatches(findWrong(this.#tables, this.#folders, cart, look))) {
      await this.#tables.unstage(cart.id, positions);
      wrong += positions.length;
    }
    if (wrong === 0 && (cart.status === 'ready' || look.signal?.aborted === true)) {
      look.signal?.throwIfAborted();
      return 0;
    }
    if (!(await this.#tables.reopen(cart.id))) {
      throw new PacificaError('not-found', `cart ${cart.uid} was deleted meanwhile`);
    }
    await this.#folders.removeBundle(cart);
    await this.#queue.add('cart', String(cart.id));
    look.signal?.throwIfAborted();
    return wrong;
  }

  /**
   * Deletes carts that are finished, not being downloaded, and were last downloaded, or became ready, long ago.
   * @param olderThanMs ms
   * @param dryRun delete nothing
   * @returns the carts that were, or would be, deleted
   */
  async *purge(olderThanMs: number, dryRun = false): AsyncGenerator<Cart> {
    const before = Date.now() - olderThanMs;
    let last = 0;
    for (;;) {
      const carts = await this.#tables.expired(before, last);
      for (const cart of carts) {
        if (!dryRun) {
          if (!(await this.#tables.deleteIdle(cart))) continue;
          await this.#discard([cart.id]);
        }
        yield cart;
      }
      const end = carts.at(-1);
      if (end === undefined) return;
      last = end.id;
    }
  }

  /** @returns all carts that are not deleted */
  async *list(): AsyncGenerator<Cart> {
    for (let last = 0; ;) {
      const carts = await this.#tables.list(last);
      yield* carts;
      const end = carts.at(-1);
      if (end === undefined) return;
      last = end.id;
    }
  }

  /**
   * Looks after what crashes leave: unfinished carts that nobody works on, data of deleted carts, folders without a cart.
   * It puts jobs for them. To be called at the start of a process that works on carts, and every few seconds.
   */
  async sweep(): Promise<void> {
    await this.#requeue(Date.now() - (this.#swept ? STALLED : 0));
    this.#swept = true;
    await this.#queue.ensure('cart-purge', [DELETED], async (ids) =>
      (await this.#tables.removable(1)).length > 0 ? ids : [],
    );
    if (Date.now() - this.#orphansLooked < ORPHANS_INTERVAL) return;
    await this.#queue.ensure('cart-purge', [ORPHANS], (ids) => Promise.resolve(ids));
    this.#orphansLooked = Date.now();
  }

  /** @param before ms since 1970; unfinished carts that nobody has touched since then are queued */
  async #requeue(before: number): Promise<void> {
    for (;;) {
      const carts = await this.#tables.stalled(before);
      if (carts.length === 0) return;
      await this.#queue.ensure(
        'cart',
        carts.map(({ id }) => String(id)),
        (ids) => this.#unfinished(ids),
      );
      for (const { id } of carts) await this.#tables.touch(id);
    }
  }

  async #unfinished(ids: readonly string[]): Promise<readonly string[]> {
    const carts = await Promise.all(ids.map((id) => this.#tables.get(Number(id))));
    return carts.flatMap((cart) =>
      cart?.deleted === null && UNFINISHED.includes(cart.status) ? [String(cart.id)] : [],
    );
  }

  /** The handler of `cart-purge` jobs. */
  readonly purgeHandler: JobHandler = neverGivenUp(async (id, { signal }) => {
    if (id === ORPHANS) {
      await this.#removeOrphans(signal);
      // by the job, so that it is one look an interval however many processes there are
      await this.#queue.add('cart-purge', ORPHANS, { delay: ORPHANS_INTERVAL });
      return;
    }
    const errors = await this.#removeDeleted(signal);
    if (errors.length > 0) throw new AggregateError(errors);
  });

  async #removeOrphans(signal: AbortSignal): Promise<void> {
    for await (const place of this.#folders.all()) {
      signal.throwIfAborted();
      if ((await this.#tables.get(place.id))?.uid === place.uid) continue;
      this.#log.warn({ cart: place.id, uid: place.uid }, 'removing a folder that belongs to no cart');
      await this.#folders.remove(place);
    }
  }

  /** @returns why some could not be removed */
  async #removeDeleted(signal?: AbortSignal): Promise<unknown[]> {
    const errors: unknown[] = [];
    for (const cart of await this.#tables.removable()) {
      signal?.throwIfAborted();
      try {
        await this.#removeData(cart);
      } catch (error) {
        this.#log.error({ cart: cart.id, err: error }, REMOVE_LATER);
        errors.push(error);
      }
    }
    return errors;
  }

  /** Stops the work on deleted carts and removes what they have, unless they are being downloaded. */
  async #discard(ids: readonly number[]): Promise<void> {
    for (const id of ids) {
      const run = this.#runs.get(id);
      run?.stop.abort(new PacificaError('aborted', `cart ${id} was deleted`));
      await run?.ended;
      try {
        const cart = await this.#tables.get(id);
        if (cart !== undefined && !(await this.#tables.isLeased(id))) await this.#removeData(cart);
      } catch (error) {
        this.#log.error({ cart: id, err: error }, REMOVE_LATER);
      }
    }
  }

  async #removeData(cart: Cart): Promise<void> {
    await this.#folders.remove(cart);
    await this.#tables.forget(cart.id);
  }

  /** The handler of `cart` jobs. */
  readonly handler: JobHandler = async (id, run) => {
    const runId = randomUUID();
    const cart = await this.#tables.claim(Number(id), runId);
    if (cart === undefined) return;
    const stop = new AbortController();
    const onSignal = (): void => stop.abort(run.signal.reason);
    run.signal.addEventListener('abort', onSignal);
    if (run.signal.aborted) onSignal();
    const ended = this.#run(cart, runId, stop, run);
    this.#runs.set(cart.id, { stop, ended: ended.catch(() => undefined) });
    try {
      await ended;
    } finally {
      run.signal.removeEventListener('abort', onSignal);
      if (this.#runs.get(cart.id)?.stop === stop) this.#runs.delete(cart.id);
    }
  };

  async #run(cart: ClaimedCart, runId: string, stop: AbortController, run: JobRun): Promise<void> {
    try {
      await makeFolders(this.#folders.volume);
      await new CartRun(this.#parts, cart, runId, stop).run();
    } catch (error) {
      if (run.signal.aborted) throw run.signal.reason;
      if (error instanceof PacificaError && error.code === 'aborted') return await this.#afterLoss(cart, runId);
      if (mayPass(error)) throw error;
      await this.#endInError(cart, runId, error);
    }
  }

  /**
   * The cart was deleted under the run, or another run has it. A deleted one leaves nothing on the volume.
   * @throws PacificaError `unavailable` when neither is so: something else broke off, and it is tried again
   */
  async #afterLoss({ id, uid }: Cart, runId: string): Promise<void> {
    const now = await this.#tables.get(id);
    if (now === undefined) await this.#folders.remove({ id, uid });
    else if (now.deleted !== null && !(await this.#tables.isLeased(id))) await this.#removeData(now);
    else if (now.runId === runId) throw new PacificaError('unavailable', `the work on cart ${uid} was broken off`);
  }

  async #endInError(cart: Cart, runId: string, error: unknown): Promise<void> {
    this.#log.error({ cart: cart.uid, err: error }, 'a cart failed');
    const full = error instanceof PacificaError && error.code === 'no-space';
    const known = error instanceof PacificaError && error.code !== 'internal';
    const message = full
      ? NO_SPACE
      : known
        ? messageOf(error)
        : 'The server met an error of its own; its log says which.';
    const end = { status: 'error' as const, message: oneLine(message), runId: null, reserved: 0 };
    try {
      await this.#tables.journal(cart.id, runId, full ? { ...end, occupied: 0 } : end);
    } catch (failure) {
      if (failure instanceof PacificaError && failure.code === 'aborted') return;
      throw wrapSystemError(failure, `can not note the failure of cart ${cart.uid}`);
    }
    // what it has must not stand in the way of others
    if (full) await this.#folders.remove(cart);
  }

  /** Ends what runs by itself. Jobs and downloads are to be ended before. */
  async close(): Promise<void> {
    this.#leases.close();
    await Promise.all(this.#removals);
  }
}

async function* inBatches<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    if (batch.push(item) < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

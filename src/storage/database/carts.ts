import { DataTypes, type Model, type ModelStatic, Op, type Transaction, type WhereOptions } from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';

/** The five states of wire.md. `ready` and `error` are ends. */
export type CartStatus = 'waiting' | 'staging' | 'bundling' | 'ready' | 'error';
export type CartFileStatus = 'waiting' | 'staging' | 'staged' | 'error';

export const UNFINISHED: readonly CartStatus[] = ['waiting', 'staging', 'bundling'];
const UNFINISHED_FILES: readonly CartFileStatus[] = ['waiting', 'staging'];

/** A cart. Times are ms since 1970. */
export interface Cart {
  /** ours; names its folder on the volume */
  readonly id: number;
  /** the client's */
  readonly uid: string;
  readonly status: CartStatus;
  /** empty when nothing is wrong */
  readonly message: string;
  /** whether the tar is made on disk */
  readonly bundle: boolean;
  /** whether the client asked for that itself */
  readonly bundleAsked: boolean;
  readonly created: number;
  readonly updated: number;
  /** when it became ready for the first time */
  readonly ready: number | null;
  /** last download, or creation */
  readonly used: number;
  readonly downloaded: number | null;
  /** since then nobody sees it */
  readonly deleted: number | null;
  /** the run that may change this row; every other one is refused */
  readonly runId: string | null;
  /** runs in a row that got no further */
  readonly failures: number;
  readonly filesTotal: number;
  readonly filesReady: number;
  /** null until the archive has told all sizes */
  readonly bytesTotal: number | null;
  readonly bytesReady: number;
  /** bytes of the volume that are kept free for what is still to be written */
  readonly reserved: number;
  /** bytes that it takes on the volume: copies and the tar, no links */
  readonly occupied: number;
}

/** A cart in the hands of a run. */
export type ClaimedCart = Cart & { readonly filesFailed: number };

export interface CartFile {
  /** place in the tar, from 0 */
  readonly position: number;
  readonly archiveId: string;
  /** relative, checked */
  readonly path: string;
  readonly hashtype: string;
  /** lower-case hex; what can be no hash of this type when the client sent such */
  readonly hashsum: string;
  readonly status: CartFileStatus;
  readonly message: string;
  /** bytes; null before the archive has told */
  readonly size: number | null;
  /** whole seconds since 1970 */
  readonly mtime: number | null;
}

export type NewCartFile = Pick<CartFile, 'archiveId' | 'path' | 'hashtype' | 'hashsum'>;

/** What a run may change of its cart. */
export type CartChanges = Partial<
  Pick<
    Cart,
    | 'status'
    | 'message'
    | 'ready'
    | 'runId'
    | 'failures'
    | 'filesReady'
    | 'bytesTotal'
    | 'bytesReady'
    | 'reserved'
    | 'occupied'
  >
>;

/** PostgreSQL hands out BIGINT as text, SQLite BOOLEAN as 0 and 1. */
type Stored<T> = {
  [K in keyof T]: T[K] extends boolean
    ? boolean | number
    : T[K] extends number
      ? number | string
      : T[K] extends number | null
        ? number | string | null
        : T[K];
};
type CartRow = Stored<Cart> & { posted: number | string | null };
type CartModel = Model<CartRow, Omit<CartRow, 'id'>> & CartRow;
type FileRow = Stored<CartFile> & { cartId: number };
type FileModel = Model<FileRow> & FileRow;
interface LeaseRow {
  cartId: number;
  owner: string;
  until: number | string;
}
type LeaseModel = Model<LeaseRow> & LeaseRow;

/** Rows a statement (platform: larger ones stall the event loop). */
const BATCH = 500;
/** rows of a cart that are inserted or removed in one transaction: others who write wait no longer than for these */
const TRANSACTION_ROWS = 5000;

/**
 * Carts, their files, and the leases of downloads: tables `pacifica_cart`, `pacifica_cart_file`, `pacifica_cart_lease`.
 * Whoever works on a cart holds it by a run id; each of its writes names that id and throws `aborted` when the cart is
 * no longer its own. A deleted cart belongs to nobody. What the database throws comes out as it is.
 */
export class CartTables {
  readonly #database: Database;
  readonly #carts: ModelStatic<CartModel>;
  readonly #files: ModelStatic<FileModel>;
  readonly #leases: ModelStatic<LeaseModel>;

  constructor(database: Database) {
    this.#database = database;
    this.#carts = defineCarts(database);
    this.#files = defineFiles(database);
    this.#leases = defineLeases(database);
  }

  /**
   * Makes a cart, `waiting`. Seen by nobody until all its files are stored; from then on the uid's older carts are deleted.
   * @param files in the order of the tar
   * @returns the cart's id, and those of the carts that it took the place of
   */
  async create(
    cart: Pick<Cart, 'uid' | 'bundle' | 'bundleAsked'>,
    files: readonly NewCartFile[],
  ): Promise<{ id: number; replaced: number[] }> {
    let id = 0;
    let replaced: number[] = [];
    for (let start = 0; start < files.length; start += TRANSACTION_ROWS) {
      const end = Math.min(files.length, start + TRANSACTION_ROWS);
      await this.#write(async (transaction) => {
        if (end === files.length) replaced = await this.#replace(cart.uid, transaction);
        const posted = end === files.length ? Date.now() : null;
        if (start === 0) id = await this.#insertCart(cart, files.length, posted, transaction);
        else if (posted !== null) await this.#carts.update({ posted }, { where: { id }, transaction });
        for (let first = start; first < end; first += BATCH) {
          const rows = files.slice(first, Math.min(first + BATCH, end)).map((file, index): FileRow => ({
            ...file,
            cartId: id,
            position: first + index,
            status: 'waiting',
            message: '',
            size: null,
            mtime: null,
          }));
          await this.#files.bulkCreate(rows, { transaction });
        }
      });
    }
    return { id, replaced };
  }

  async #insertCart(
    cart: Pick<Cart, 'uid' | 'bundle' | 'bundleAsked'>,
    filesTotal: number,
    posted: number | null,
    transaction: Transaction,
  ): Promise<number> {
    const now = Date.now();
    const row = await this.#carts.create(
      {
        ...cart,
        status: 'waiting',
        message: '',
        created: now,
        updated: now,
        posted,
        ready: null,
        used: now,
        downloaded: null,
        deleted: null,
        runId: null,
        failures: 0,
        filesTotal,
        filesReady: 0,
        bytesTotal: null,
        bytesReady: 0,
        reserved: 0,
        occupied: 0,
      },
      { transaction },
    );
    return Number(row.get('id'));
  }

  async #replace(uid: string, transaction: Transaction): Promise<number[]> {
    const older = await this.#idsOf({ uid, deleted: null, posted: { [Op.ne]: null } }, transaction);
    await this.#markDeleted(older, transaction);
    return older;
  }

  /** @returns the uid's newest cart; undefined when there is none, or it was deleted */
  async find(uid: string): Promise<Cart | undefined> {
    const where = { uid, deleted: null, posted: { [Op.ne]: null } };
    const row = await this.#carts.findOne({ where, order: [['id', 'DESC']], raw: true });
    return row === null ? undefined : toCart(row);
  }

  /** @returns the cart, a deleted one too */
  async get(id: number): Promise<Cart | undefined> {
    const row = await this.#carts.findByPk(id, { raw: true });
    return row === null ? undefined : toCart(row);
  }

  /**
   * Takes an unfinished cart over from whatever run had it.
   * @returns the cart as it is now, its counters taken anew from the files; undefined when there is nothing to do
   */
  async claim(id: number, runId: string): Promise<ClaimedCart | undefined> {
    return this.#write(async (transaction) => {
      const where = { id, deleted: null, posted: { [Op.ne]: null }, status: [...UNFINISHED] };
      const row = await this.#carts.findOne({ where, raw: true, lock: true, transaction });
      if (row === null) return undefined;
      const changes = { runId, status: 'staging' as const, reserved: 0, updated: Date.now() };
      const counters =
        row.status === 'waiting'
          ? { filesReady: 0, bytesReady: 0, filesFailed: 0 }
          : await this.#count(id, transaction);
      const { filesReady, bytesReady, filesFailed } = counters;
      await this.#carts.update({ ...changes, filesReady, bytesReady }, { where: { id }, transaction });
      return { ...toCart(row), ...changes, filesReady, bytesReady, filesFailed };
    });
  }

  async #count(
    id: number,
    transaction: Transaction,
  ): Promise<Pick<ClaimedCart, 'filesReady' | 'bytesReady' | 'filesFailed'>> {
    const staged = { where: { cartId: id, status: 'staged' as const }, transaction };
    // a sum of BIGINTs is text on PostgreSQL, and null when there is nothing to add
    const bytes: unknown = await this.#files.sum('size', staged);
    return {
      filesReady: await this.#files.count(staged),
      bytesReady: Number(bytes ?? 0),
      filesFailed: await this.#files.count({ where: { cartId: id, status: 'error' }, transaction }),
    };
  }

  /**
   * What a run got done: the files that changed, and its cart.
   * @param inside is called before the commit, for what has to be done only if the cart is still this run's
   * @throws PacificaError `aborted` when it is not
   */
  async journal(
    id: number,
    runId: string,
    changes: CartChanges,
    files: readonly CartFile[] = [],
    inside?: () => Promise<void>,
  ): Promise<void> {
    await this.#write(async (transaction) => {
      await this.#hold(id, runId, changes, transaction);
      for (let first = 0; first < files.length; first += BATCH) {
        const rows = files.slice(first, first + BATCH).map((file): FileRow => ({ ...file, cartId: id }));
        const updateOnDuplicate: (keyof CartFile)[] = ['status', 'message', 'size', 'mtime'];
        await this.#files.bulkCreate(rows, { updateOnDuplicate, transaction });
      }
      await inside?.();
    });
  }

  /** Ends all files of a cart that are not staged, as far as they have not ended with a message of their own. */
  async failUnfinished(id: number, runId: string, message: string): Promise<void> {
    await this.#write(async (transaction) => {
      await this.#hold(id, runId, {}, transaction);
      const where = { cartId: id, status: [...UNFINISHED_FILES] };
      await this.#files.update({ status: 'error', message }, { where, transaction });
    });
  }

  /** Notes that files of a finished cart are not on disk as they should be. They are brought again after {@link reopen}. */
  async unstage(id: number, positions: readonly number[]): Promise<void> {
    await this.#write(async (transaction) => {
      const where = { cartId: id, position: [...positions], status: 'staged' as const };
      await this.#files.update({ status: 'waiting' }, { where, transaction });
    });
  }

  /** Makes a finished cart one that is to be worked on: what failed, or was unstaged. @returns false when it was deleted */
  async reopen(id: number): Promise<boolean> {
    return this.#write(async (transaction) => {
      const changes = { status: 'staging' as const, message: '', failures: 0, runId: null, updated: Date.now() };
      const where = { id, deleted: null, status: ['ready' as const, 'error' as const] };
      const [reopened] = await this.#carts.update(changes, { where, transaction });
      if (reopened === 0) return false;
      const failed = { cartId: id, status: 'error' as const };
      await this.#files.update({ status: 'waiting', message: '' }, { where: failed, transaction });
      return true;
    });
  }

  /**
   * Ends an unfinished cart in error; what ran for it can change nothing any more.
   * @returns false when it has ended already, or was deleted
   */
  async cancel(id: number, message: string): Promise<boolean> {
    return this.#write(async (transaction) => {
      const changes = { status: 'error' as const, message, runId: null, reserved: 0, updated: Date.now() };
      const where = { id, deleted: null, status: [...UNFINISHED] };
      const [cancelled] = await this.#carts.update(changes, { where, transaction });
      return cancelled > 0;
    });
  }

  /** The fencing: no other run changes the cart until this transaction ends. */
  async #hold(id: number, runId: string, changes: CartChanges, transaction: Transaction): Promise<void> {
    const where = { id, runId, deleted: null };
    const [held] = await this.#carts.update({ ...changes, updated: Date.now() }, { where, transaction });
    if (held === 0) throw new PacificaError('aborted', `cart ${id} was deleted, or another worker has it now`);
  }

  /**
   * Keeps bytes of the volume for a cart, if there are as many that no other cart keeps.
   * @param bytes still to be written
   * @param free tells the bytes that are free on the volume now
   * @returns how many bytes there are too few: 0 when they are kept
   */
  async reserve(id: number, runId: string, bytes: number, free: () => Promise<number>): Promise<number> {
    return this.#write(async (transaction) => {
      await this.#hold(id, runId, {}, transaction);
      if (this.#database.dialect === 'postgres') {
        const { sequelize } = this.#database;
        await sequelize.query("SELECT pg_advisory_xact_lock(hashtext('pacifica_cart_space'))", { transaction });
      }
      const others = { id: { [Op.ne]: id }, deleted: null, reserved: { [Op.gt]: 0 } };
      const taken: unknown = await this.#carts.sum('reserved', { where: others, transaction });
      const short = bytes - ((await free()) - Number(taken ?? 0));
      if (short > 0) return short;
      await this.#carts.update({ reserved: bytes }, { where: { id }, transaction });
      return 0;
    });
  }

  /** @returns files by their place in the tar, `[from, from + count)` */
  async files(id: number, from: number, count: number): Promise<CartFile[]> {
    return this.#filesWhere({ cartId: id, position: { [Op.gte]: from, [Op.lt]: from + count } });
  }

  /** @returns the first files of the given states from a place in the tar on */
  async filesOf(id: number, status: readonly CartFileStatus[], from: number, count = BATCH): Promise<CartFile[]> {
    return this.#filesWhere({ cartId: id, status: [...status], position: { [Op.gte]: from } }, count);
  }

  async countFiles(id: number, status: CartFileStatus): Promise<number> {
    return this.#files.count({ where: { cartId: id, status } });
  }

  async #filesWhere(where: WhereOptions<FileRow>, limit?: number): Promise<CartFile[]> {
    const rows = await this.#files.findAll({ where, order: [['position', 'ASC']], limit, raw: true });
    return rows.map(toFile);
  }

  /** Deletes the uid's carts: nobody sees them any more, no run may go on. @returns their ids, none when there are none */
  async delete(uid: string): Promise<number[]> {
    return this.#write(async (transaction) => {
      const ids = await this.#idsOf({ uid, deleted: null, posted: { [Op.ne]: null } }, transaction);
      await this.#markDeleted(ids, transaction);
      return ids;
    });
  }

  /** Deletes a cart unless it is being downloaded, or was since `used`. @returns whether it is deleted now */
  async deleteIdle({ id, used }: Pick<Cart, 'id' | 'used'>): Promise<boolean> {
    return this.#write(async (transaction) => {
      // the row first: who wants a lease waits here, so that either we see the lease or it sees the deletion
      const row = await this.#carts.findOne({ where: { id, deleted: null }, raw: true, lock: true, transaction });
      if (row === null || Number(row.used) !== used) return false;
      if ((await this.#liveLeases(transaction, id)).length > 0) return false;
      await this.#markDeleted([id], transaction);
      return true;
    });
  }

  async #markDeleted(ids: readonly number[], transaction: Transaction): Promise<void> {
    if (ids.length === 0) return;
    const now = Date.now();
    const changes = { deleted: now, updated: now, runId: null, reserved: 0 };
    await this.#carts.update(changes, { where: { id: [...ids], deleted: null }, transaction });
  }

  /** @returns deleted carts that nobody downloads any more, and carts whose posting broke off */
  async removable(limit = 1000): Promise<Cart[]> {
    const busy = await this.#liveLeases();
    const hour = 3_600_000;
    const rows = await this.#carts.findAll({
      where: {
        id: { [Op.notIn]: busy },
        [Op.or]: [{ deleted: { [Op.ne]: null } }, { posted: null, created: { [Op.lt]: Date.now() - hour } }],
      },
      limit,
      raw: true,
    });
    return rows.map(toCart);
  }

  /** @returns whether somebody downloads it */
  async isLeased(id: number): Promise<boolean> {
    return (await this.#liveLeases(undefined, id)).length > 0;
  }

  /** Removes all rows of a cart that is deleted, or was never posted. */
  async forget(id: number): Promise<void> {
    for (;;) {
      const first = await this.#filesWhere({ cartId: id }, 1);
      const from = first[0]?.position;
      if (from === undefined) break;
      const where = { cartId: id, position: { [Op.lt]: from + TRANSACTION_ROWS } };
      await this.#write((transaction) => this.#files.destroy({ where, transaction }));
    }
    await this.#write(async (transaction) => {
      await this.#leases.destroy({ where: { cartId: id }, transaction });
      await this.#carts.destroy({ where: { id }, transaction });
    });
  }

  /** @returns unfinished carts that nobody has touched since `before` */
  async stalled(before: number, limit = 100): Promise<Cart[]> {
    const where = {
      status: [...UNFINISHED],
      updated: { [Op.lt]: before },
      deleted: null,
      posted: { [Op.ne]: null },
    };
    const rows = await this.#carts.findAll({ where, order: [['updated', 'ASC']], limit, raw: true });
    return rows.map(toCart);
  }

  /** Notes that somebody looks after an unfinished cart now. */
  async touch(id: number): Promise<void> {
    await this.#write((transaction) => this.#carts.update({ updated: Date.now() }, { where: { id }, transaction }));
  }

  /**
   * @returns finished carts that take space on the volume, are not being downloaded and were not used since `before`;
   * the least recently used first
   */
  async leastRecentlyUsed(before: number, limit = 100): Promise<Cart[]> {
    const busy = await this.#liveLeases();
    const rows = await this.#carts.findAll({
      where: {
        id: { [Op.notIn]: busy },
        deleted: null,
        status: ['ready', 'error'],
        occupied: { [Op.gt]: 0 },
        used: { [Op.lte]: before },
      },
      order: [
        ['used', 'ASC'],
        ['id', 'ASC'],
      ],
      limit,
      raw: true,
    });
    return rows.map(toCart);
  }

  /**
   * @returns finished carts that are not being downloaded, whose last download, else the moment when they became ready
   * (or failed), is not after `before`
   */
  async expired(before: number, afterId = 0, limit = 100): Promise<Cart[]> {
    const busy = await this.#liveLeases();
    const rows = await this.#carts.findAll({
      where: {
        id: { [Op.notIn]: busy, [Op.gt]: afterId },
        deleted: null,
        status: ['ready', 'error'],
        [Op.or]: [
          { downloaded: { [Op.lte]: before } },
          { downloaded: null, ready: { [Op.lte]: before } },
          { downloaded: null, ready: null, updated: { [Op.lte]: before } },
        ],
      },
      order: [['id', 'ASC']],
      limit,
      raw: true,
    });
    return rows.map(toCart);
  }

  /** @returns carts that are not deleted, by id */
  async list(afterId = 0, limit = 100): Promise<Cart[]> {
    const where = { id: { [Op.gt]: afterId }, deleted: null, posted: { [Op.ne]: null } };
    const rows = await this.#carts.findAll({ where, order: [['id', 'ASC']], limit, raw: true });
    return rows.map(toCart);
  }

  /** @returns those of the ids that have a row, deleted ones too */
  async known(ids: readonly number[]): Promise<Set<number>> {
    const rows = await this.#carts.findAll({ attributes: ['id'], where: { id: [...ids] }, raw: true });
    return new Set(rows.map(({ id }) => Number(id)));
  }

  /**
   * Notes that `owner` downloads a ready cart, until a time (ms since 1970) unless it is renewed.
   * @returns false when the cart is not ready or deleted
   */
  async lease(id: number, owner: string, until: number): Promise<boolean> {
    return this.#write(async (transaction) => {
      const now = Date.now();
      const where = { id, deleted: null, status: 'ready' as const };
      const [found] = await this.#carts.update({ used: now, downloaded: now }, { where, transaction });
      if (found === 0) return false;
      await this.#leases.bulkCreate([{ cartId: id, owner, until }], { updateOnDuplicate: ['until'], transaction });
      return true;
    });
  }

  /** Renews all leases of an owner. */
  async renew(owner: string, until: number): Promise<void> {
    await this.#write((transaction) => this.#leases.update({ until }, { where: { owner }, transaction }));
  }

  /** Ends a lease; the cart counts as used now. */
  async release(id: number, owner: string): Promise<void> {
    await this.#write(async (transaction) => {
      const now = Date.now();
      await this.#carts.update({ used: now, downloaded: now }, { where: { id, deleted: null }, transaction });
      await this.#leases.destroy({ where: { cartId: id, owner }, transaction });
    });
  }

  async #liveLeases(transaction?: Transaction, cartId?: number): Promise<number[]> {
    const where = { until: { [Op.gt]: Date.now() }, ...(cartId === undefined ? {} : { cartId }) };
    const rows = await this.#leases.findAll({ attributes: ['cartId'], where, raw: true, transaction });
    return rows.map(({ cartId }) => cartId);
  }

  async #idsOf(where: WhereOptions<CartRow>, transaction: Transaction): Promise<number[]> {
    const rows = await this.#carts.findAll({ attributes: ['id'], where, raw: true, transaction });
    return rows.map(({ id }) => Number(id));
  }

  #write<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#database.write(work);
  }
}

function toCart(row: CartRow): Cart {
  return {
    id: Number(row.id),
    uid: row.uid,
    status: row.status,
    message: row.message,
    bundle: Boolean(row.bundle),
    bundleAsked: Boolean(row.bundleAsked),
    created: Number(row.created),
    updated: Number(row.updated),
    ready: maybe(row.ready),
    used: Number(row.used),
    downloaded: maybe(row.downloaded),
    deleted: maybe(row.deleted),
    runId: row.runId,
    failures: Number(row.failures),
    filesTotal: Number(row.filesTotal),
    filesReady: Number(row.filesReady),
    bytesTotal: maybe(row.bytesTotal),
    bytesReady: Number(row.bytesReady),
    reserved: Number(row.reserved),
    occupied: Number(row.occupied),
  };
}

function toFile(row: FileRow): CartFile {
  const { archiveId, path, hashtype, hashsum, status, message } = row;
  const position = Number(row.position);
  return {
    position,
    archiveId,
    path,
    hashtype,
    hashsum,
    status,
    message,
    size: maybe(row.size),
    mtime: maybe(row.mtime),
  };
}

function maybe(value: number | string | null): number | null {
  return value === null ? null : Number(value);
}

function defineCarts({ sequelize }: Database): ModelStatic<CartModel> {
  const { INTEGER, BIGINT, BOOLEAN, TEXT, STRING } = DataTypes;
  return sequelize.define<CartModel>(
    'pacifica_cart',
    {
      id: { type: INTEGER, primaryKey: true, autoIncrement: true },
      uid: STRING,
      status: STRING,
      message: TEXT,
      bundle: BOOLEAN,
      bundleAsked: { type: BOOLEAN, field: 'bundle_asked' },
      created: BIGINT,
      updated: BIGINT,
      posted: BIGINT,
      ready: BIGINT,
      used: BIGINT,
      downloaded: BIGINT,
      deleted: BIGINT,
      runId: { type: STRING, field: 'run_id' },
      failures: INTEGER,
      filesTotal: { type: INTEGER, field: 'files_total' },
      filesReady: { type: INTEGER, field: 'files_ready' },
      bytesTotal: { type: BIGINT, field: 'bytes_total' },
      bytesReady: { type: BIGINT, field: 'bytes_ready' },
      reserved: BIGINT,
      occupied: BIGINT,
    },
    { tableName: 'pacifica_cart', timestamps: false },
  );
}

function defineFiles({ sequelize }: Database): ModelStatic<FileModel> {
  const { INTEGER, BIGINT, TEXT, STRING } = DataTypes;
  return sequelize.define<FileModel>(
    'pacifica_cart_file',
    {
      cartId: { type: INTEGER, primaryKey: true, field: 'cart_id' },
      position: { type: INTEGER, primaryKey: true },
      archiveId: { type: STRING, field: 'archive_id' },
      path: TEXT,
      hashtype: STRING,
      hashsum: STRING,
      status: STRING,
      message: TEXT,
      size: BIGINT,
      mtime: BIGINT,
    },
    { tableName: 'pacifica_cart_file', timestamps: false },
  );
}

function defineLeases({ sequelize }: Database): ModelStatic<LeaseModel> {
  const { INTEGER, BIGINT, STRING } = DataTypes;
  return sequelize.define<LeaseModel>(
    'pacifica_cart_lease',
    {
      cartId: { type: INTEGER, primaryKey: true, field: 'cart_id' },
      owner: { type: STRING, primaryKey: true },
      until: BIGINT,
    },
    { tableName: 'pacifica_cart_lease', timestamps: false },
  );
}

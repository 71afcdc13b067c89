import { type ModelStatic, Op, QueryTypes, type Transaction, type WhereOptions } from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import { isDead } from '../../lib/process-mark.js';
import {
  type Cart,
  type CartChanges,
  type CartFile,
  type CartFileStatus,
  type CartModel,
  type CartRow,
  type CartStatus,
  type ClaimedCart,
  defineCarts,
  defineFiles,
  defineLeases,
  type FileModel,
  type FileRow,
  type FileValues,
  type LeaseModel,
  type NewCartFile,
  type ReadyCart,
  toCart,
  toFile,
} from './cart-rows.js';
import { CartPosting, type PostedCart } from './cart-posting.js';
import type { Database } from './database.js';

export type {
  Cart,
  CartChanges,
  CartFile,
  CartFileStatus,
  CartStatus,
  ClaimedCart,
  NewCartFile,
  ReadyCart,
} from './cart-rows.js';

export const UNFINISHED: readonly CartStatus[] = ['waiting', 'staging', 'bundling'];
const UNFINISHED_FILES: readonly CartFileStatus[] = ['waiting', 'staging'];

/** rows of a cart that are removed in one transaction: others who write wait no longer than for these */
const TRANSACTION_ROWS = 5000;
/** rows a statement of Sequelize's own: larger ones stall the event loop */
const BATCH = 500;

const CART_COLUMNS = `id, uid, status, message, bundle, bundle_asked AS "bundleAsked", created, updated, ready, used,
  downloaded, deleted, run_id AS "runId", failures, files_total AS "filesTotal", files_ready AS "filesReady",
  bytes_total AS "bytesTotal", bytes_ready AS "bytesReady", reserved, occupied`;
/** in the order of {@link FileValues} */
const FILE_COLUMNS = 'position, archive_id, path, new_folders, hashtype, hashsum, status, message, size, mtime';

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

  /** Begins to store a cart: its files come one after the other, {@link CartPosting.finish} lets it be seen. */
  post(uid: string): CartPosting {
    return new CartPosting(uid, {
      write: (work) => this.#write(work),
      insertCart: (values, transaction) => this.#insertCart(values, transaction),
      insertFiles: (id, first, files, transaction) => this.#insertFiles(id, first, files, transaction),
      replace: (replaced, transaction) => this.#replace(replaced, transaction),
      complete: (id, values, transaction) => this.#complete(id, values, transaction),
      forget: (id) => this.forget(id),
    });
  }

  async #insertCart({ uid, posted, ...cart }: PostedCart, transaction: Transaction): Promise<number> {
    const now = Date.now();
    const values: Omit<CartRow, 'id'> = {
      ...cart,
      uid,
      posted,
      status: 'waiting',
      message: '',
      created: now,
      updated: now,
      ready: null,
      used: now,
      downloaded: null,
      deleted: null,
      runId: null,
      failures: 0,
      filesReady: 0,
      bytesTotal: null,
      bytesReady: 0,
      reserved: 0,
      occupied: 0,
    };
    const row = await this.#carts.create(values, { transaction });
    return Number(row.get('id'));
  }

  /** @param first place in the tar of the first of the files */
  async #insertFiles(
    id: number,
    first: number,
    files: readonly NewCartFile[],
    transaction: Transaction,
  ): Promise<void> {
    const rows = files.map(({ archiveId, path, newFolders, hashtype, hashsum }, index) => [
      first + index,
      archiveId,
      path,
      newFolders,
      hashtype,
      hashsum,
    ]);
    await this.#query(
      `INSERT INTO pacifica_cart_file
         (cart_id, position, archive_id, path, new_folders, hashtype, hashsum, status, message)
       SELECT CAST($id AS INTEGER), CAST(e.value ->> 0 AS INTEGER), e.value ->> 1, e.value ->> 2,
         CAST(e.value ->> 3 AS INTEGER), e.value ->> 4, e.value ->> 5, 'waiting', ''
       FROM ${this.#elements()}`,
      { id, rows: JSON.stringify(rows) },
      transaction,
    );
  }

  /** Takes in a cart that is ready, under its own number; numbers of later carts come after it. */
  async adopt(
    { id, uid, bundle, created, ready, bytes, occupied }: ReadyCart,
    files: readonly CartFile[],
  ): Promise<void> {
    await this.#write(async (transaction) => {
      const row = {
        ...{ id, uid, bundle, created, ready, occupied, bundleAsked: bundle },
        ...{ status: 'ready' as const, message: '', updated: ready, posted: created, used: ready },
        ...{ downloaded: null, deleted: null, runId: null, failures: 0, reserved: 0 },
        ...{ filesTotal: files.length, filesReady: files.length, bytesTotal: bytes, bytesReady: bytes },
      };
      await this.#carts.bulkCreate([row], { transaction });
      for (let first = 0; first < files.length; first += BATCH) {
        const rows = files.slice(first, first + BATCH).map((file): FileRow => ({ ...file, cartId: id }));
        await this.#files.bulkCreate(rows, { transaction });
      }
      if (this.#database.dialect === 'postgres') {
        // a number that is given does not move the sequence, as it does on SQLite
        await this.#database.sequelize.query(
          `SELECT setval(pg_get_serial_sequence('pacifica_cart', 'id'), (SELECT MAX(id) FROM pacifica_cart))`,
          { transaction },
        );
      }
    });
  }

  /** Deletes the uid's carts. @returns their ids */
  async #replace(uid: string, transaction: Transaction): Promise<number[]> {
    const older = await this.#idsOf({ uid, deleted: null, posted: { [Op.ne]: null } }, transaction);
    await this.#markDeleted(older, transaction);
    return older;
  }

  async #complete(id: number, cart: PostedCart, transaction: Transaction): Promise<void> {
    const { bundle, bundleAsked, filesTotal, posted } = cart;
    const values = { bundle, bundleAsked, filesTotal, posted };
    const [found] = await this.#carts.update(values, { where: { id, deleted: null }, transaction });
    // the sweep takes what is not complete after an hour for the remains of a crash
    if (found === 0) throw new PacificaError('unavailable', 'the list of files took too long to come');
  }

  /** Elements of the JSON list bound as `$rows`, each a list of values, as `e.value`: the database takes it apart. */
  #elements(): string {
    return this.#database.dialect === 'postgres'
      ? 'jsonb_array_elements(CAST($rows AS jsonb)) AS e(value)'
      : 'json_each($rows) AS e';
  }

  async #query(sql: string, bind: Record<string, unknown>, transaction?: Transaction): Promise<void> {
    await this.#database.sequelize.query(sql, { bind, transaction });
  }

  async #select<Row extends object>(sql: string, bind: Record<string, unknown>): Promise<Row[]> {
    return this.#database.sequelize.query<Row>(sql, { bind, type: QueryTypes.SELECT });
  }

  /** @returns the uid's newest cart; undefined when there is none, or it was deleted */
  async find(uid: string): Promise<Cart | undefined> {
    const [row] = await this.#select<CartRow>(
      `SELECT ${CART_COLUMNS} FROM pacifica_cart
       WHERE uid = $uid AND deleted IS NULL AND posted IS NOT NULL ORDER BY id DESC LIMIT 1`,
      { uid },
    );
    return row === undefined ? undefined : toCart(row);
  }

  /** @returns the cart, a deleted one too */
  async get(id: number): Promise<Cart | undefined> {
    const row = await this.#carts.findByPk(id, { raw: true });
    return row === null ? undefined : toCart(row);
  }

  /** @returns uids of carts by their ids, of deleted ones too */
  async uidsOf(ids: readonly number[]): Promise<Map<number, string>> {
    const rows = await this.#carts.findAll({ where: { id: [...ids] }, attributes: ['id', 'uid'], raw: true });
    return new Map(rows.map(({ id, uid }) => [Number(id), uid]));
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
      if (files.length > 0) await this.#updateFiles(id, files, transaction);
      await inside?.();
    });
  }

  /** The rows are there: an upsert goes through the list once, where an UPDATE would go through all of it for each row. */
  async #updateFiles(id: number, files: readonly CartFile[], transaction: Transaction): Promise<void> {
    const rows = files.map((file) => [
      file.position,
      file.archiveId,
      file.path,
      file.hashtype,
      file.hashsum,
      file.status,
      file.message,
      file.size,
      file.mtime,
    ]);
    await this.#query(
      `INSERT INTO pacifica_cart_file
         (cart_id, position, archive_id, path, hashtype, hashsum, status, message, size, mtime)
       SELECT CAST($id AS INTEGER), CAST(e.value ->> 0 AS INTEGER), e.value ->> 1, e.value ->> 2, e.value ->> 3,
         e.value ->> 4, e.value ->> 5, e.value ->> 6, CAST(e.value ->> 7 AS BIGINT), CAST(e.value ->> 8 AS BIGINT)
       FROM ${this.#elements()} WHERE true
       ON CONFLICT (cart_id, position) DO UPDATE
         SET status = excluded.status, message = excluded.message, size = excluded.size, mtime = excluded.mtime`,
      { id, rows: JSON.stringify(rows) },
      transaction,
    );
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
    return this.#filesWhere('position < $end', { id, from, end: from + count, count });
  }

  /** @returns the first files that are not staged and did not fail, from a place in the tar on */
  async unfinishedFiles(id: number, from: number, count: number): Promise<CartFile[]> {
    // by the text: an index over states would find them in another order, and all of them
    return this.#filesWhere(`status || '' IN ('waiting', 'staging')`, { id, from, count });
  }

  /** @returns the first files of a state from a place in the tar on */
  async filesOf(id: number, status: CartFileStatus, from: number, count: number): Promise<CartFile[]> {
    return this.#filesWhere('status = $status', { id, from, status, count });
  }

  /** @returns the first files from a place in the tar on that are the first ones of a folder */
  async filesWithNewFolders(id: number, from: number, count: number): Promise<CartFile[]> {
    return this.#filesWhere('new_folders > 0', { id, from, count });
  }

  async countFiles(id: number, status: CartFileStatus): Promise<number> {
    return this.#files.count({ where: { cartId: id, status } });
  }

  /** As one JSON text: a row costs a tenth of what it costs as an object of the driver's (measured). */
  async #filesWhere(condition: string, bind: Record<string, unknown>): Promise<CartFile[]> {
    const files =
      this.#database.dialect === 'postgres'
        ? `CAST(json_agg(json_build_array(${FILE_COLUMNS}) ORDER BY position) AS TEXT)`
        : `json_group_array(json_array(${FILE_COLUMNS}) ORDER BY position)`;
    const [row] = await this.#select<{ files: string | null }>(
      `SELECT ${files} AS files FROM
         (SELECT * FROM pacifica_cart_file
          WHERE cart_id = $id AND position >= $from AND ${condition} ORDER BY position LIMIT $count) AS file`,
      bind,
    );
    return (JSON.parse(row?.files ?? '[]') as FileValues[]).map(toFile);
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
      const [first] = await this.#filesWhere('position >= 0', { id, from: 0, count: 1 });
      if (first === undefined) break;
      const where = { cartId: id, position: { [Op.lt]: first.position + TRANSACTION_ROWS } };
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
   * Notes that `owner` downloads a ready cart, until a time (ms since 1970) unless it is renewed, or until its process
   * ends, as far as that can be seen from here.
   * @param owner begins with the mark of its process (`lib/process-mark.ts`) and `/`
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
    const rows = await this.#leases.findAll({ attributes: ['cartId', 'owner'], where, raw: true, transaction });
    return rows.flatMap(({ cartId, owner }) => (isDead(owner.split('/', 1)[0] ?? '') === true ? [] : [cartId]));
  }

  async #idsOf(where: WhereOptions<CartRow>, transaction: Transaction): Promise<number[]> {
    const rows = await this.#carts.findAll({ attributes: ['id'], where, raw: true, transaction });
    return rows.map(({ id }) => Number(id));
  }

  #write<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#database.write(work);
  }
}

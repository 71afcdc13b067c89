import { DataTypes, type Model, type ModelStatic } from 'sequelize';
import type { Database } from './database.js';
import type { Stored } from './stored.js';

/** The five states of wire.md. `ready` and `error` are ends. */
export type CartStatus = 'waiting' | 'staging' | 'bundling' | 'ready' | 'error';
export type CartFileStatus = 'waiting' | 'staging' | 'staged' | 'error';

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
  /** how many of its folders, the innermost ones, no file before it in the tar lies in */
  readonly newFolders: number;
  /** bytes; null before the archive has told */
  readonly size: number | null;
  /** whole seconds since 1970 */
  readonly mtime: number | null;
}

export type NewCartFile = Pick<CartFile, 'archiveId' | 'path' | 'newFolders' | 'hashtype' | 'hashsum'>;

/** A cart that an original service made: all of it is on the volume. */
export type ReadyCart = Pick<Cart, 'id' | 'uid' | 'bundle' | 'created' | 'occupied'> & {
  /** when it became ready, ms since 1970 */
  readonly ready: number;
  /** bytes of its files */
  readonly bytes: number;
};

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

export type CartRow = Stored<Cart> & { posted: number | string | null };
export type CartModel = Model<CartRow, Omit<CartRow, 'id'>> & CartRow;
export type FileRow = Stored<CartFile> & { cartId: number };
export type FileModel = Model<FileRow> & FileRow;
export interface LeaseRow {
  cartId: number;
  owner: string;
  until: number | string;
}
export type LeaseModel = Model<LeaseRow> & LeaseRow;

export function toCart(row: CartRow): Cart {
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

/** A file's columns: position, archive id, path, new folders, hash type and sum, status, message, size, mtime. */
export type FileValues = [
  number,
  string,
  string,
  number,
  string,
  string,
  CartFileStatus,
  string,
  number | null,
  number | null,
];

export function toFile(values: FileValues): CartFile {
  const [position, archiveId, path, newFolders, hashtype, hashsum, status, message, size, mtime] = values;
  return { position, archiveId, path, newFolders, hashtype, hashsum, status, message, size, mtime };
}

function maybe(value: number | string | null): number | null {
  return value === null ? null : Number(value);
}

export function defineCarts({ sequelize }: Database): ModelStatic<CartModel> {
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

export function defineFiles({ sequelize }: Database): ModelStatic<FileModel> {
  const { INTEGER, BIGINT, TEXT, STRING } = DataTypes;
  return sequelize.define<FileModel>(
    'pacifica_cart_file',
    {
      cartId: { type: INTEGER, primaryKey: true, field: 'cart_id' },
      position: { type: INTEGER, primaryKey: true },
      archiveId: { type: STRING, field: 'archive_id' },
      path: TEXT,
      newFolders: { type: INTEGER, field: 'new_folders' },
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

export function defineLeases({ sequelize }: Database): ModelStatic<LeaseModel> {
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

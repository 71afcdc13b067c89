import type { ArchiveId } from '../../lib/archive-id.js';
import type { Checksum } from '../../lib/checksum.js';
import type { RandomReader } from '../../lib/random-reader.js';

/** Where a file's bytes are and what is known of it. */
export interface FileStatus {
  /** length in bytes */
  readonly size: number;
  /** last modification, ms since 1970, with fractions as far as the storage keeps them */
  readonly mtimeMs: number;
  /** last change of the file's own record, ms since 1970 */
  readonly ctimeMs: number;
  /** bytes on each storage level, fastest first: `[18]`, or `[0, 18]` when they are on the second level only */
  readonly bytesPerLevel: readonly number[];
  /** `disk` when it can be read now, `tape` when it must be staged first */
  readonly media: 'disk' | 'tape';
  /** the storage's own name for it, for people (the absolute path with posix) */
  readonly path: string;
  /** strong validator (RFC 9110, 8.8.3) without quotes: differs whenever the bytes may differ */
  readonly etag: string;
}

/** An open file: its bytes do not change while it is open, whatever happens to its id. */
export interface StoredFile extends RandomReader {
  readonly status: FileStatus;
}

/** A file that is complete and that nobody can see yet. */
export interface Written {
  /** length in bytes */
  readonly size: number;
  /** modification time that it will have, ms since 1970 */
  readonly mtimeMs: number;
  /** the etag that it will have, where the storage knows it beforehand */
  readonly etag?: string;
}

export interface PutOptions {
  /** announced length in bytes; a body of another length is refused with `invalid` */
  size?: number;
  /** modification time to keep, ms since 1970; the time of the call when absent */
  mtimeMs?: number;
  /** `exclusive`: fail with `exists` when the id is taken, also when two race for it; `replace` (default): the last whole file wins */
  mode?: 'replace' | 'exclusive';
  /**
   * Called when all bytes are written and before they become visible. When it throws, nothing becomes visible.
   * The place to compare digests and to record what is about to appear.
   */
  beforeVisible?: (written: Written) => Promise<void> | void;
  /** stops the write; nothing becomes visible */
  signal?: AbortSignal;
}

/**
 * A place that keeps files by id. What every storage must do; what only some can do are the small interfaces below.
 * All errors are PacificaErrors. A missing file is `not-found`; an id that the storage can not map is `invalid`;
 * a full disk is `no-space` and is not tried again; what may pass is left to the caller to repeat.
 * All methods may be called at once for the same id, from several processes.
 */
export interface StorageBackend {
  /** the URL it was made of, without secrets */
  readonly url: string;
  /**
   * Stores the bytes of `body` as file `id`, whole or not at all: after a failure, a crash or a power cut the old file
   * is there, or none. When it resolves, bytes, name and times are on stable storage. Leaves no litter when it throws.
   * The memory of a piece of `body` is the giver's again when the next one is asked for.
   */
  put(id: ArchiveId, body: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<FileStatus>;
  /** Opens a file for reading. Close it. A file that is on tape is `not-ready`. */
  open(id: ArchiveId): Promise<StoredFile>;
  /** Tells about a file without reading it and without recalling it from tape. */
  status(id: ArchiveId): Promise<FileStatus>;
  /** Asks for the bytes to be brought to the fastest level, all files in one request so that tape can order them. Returns when it is asked for, not when it is done. The first missing file is `not-found`. */
  stage(ids: readonly ArchiveId[]): Promise<void>;
  /**
   * Takes in a file that is already on the machine, as file `id`; `path` is gone afterwards, but for one that was copied and
   * written to since. The path is checked by the caller. Same promises as put. A missing source is `not-found`, one that is no regular file `invalid`.
   */
  adopt(
    id: ArchiveId,
    path: string,
    options?: Pick<PutOptions, 'mode' | 'beforeVisible'> & TransferOptions,
  ): Promise<FileStatus>;
  /** Removes a file, and the folders that it leaves empty. A second time it is `not-found`. */
  delete(id: ArchiveId): Promise<void>;
  /** Lets go of connections. */
  close(): Promise<void>;
}

/** Optional: files that lie on a local file system, so that others can link or sendfile them. */
export interface LocalPaths {
  /** the folder that holds everything */
  readonly root: string;
  /** a folder below it whose files are none of the archive's */
  readonly ownFolder: string;
  /** @returns the id whose file lies at this real path; undefined when none does */
  idAt(path: string): ArchiveId | undefined;
  /** @returns the absolute path of a file that is there now; `not-found` otherwise */
  localPath(id: ArchiveId): Promise<string>;
  /** @returns the absolute path that the file of an id has, whether it is there or not; `invalid` as in put */
  pathOf(id: ArchiveId): string;
}

/** Optional: a storage that can tell which files it has. */
export interface Listing {
  /**
   * @returns every id that there is a file of, in no order. What comes or goes meanwhile may be among them or not.
   * `not-found` when there is no storage at all
   */
  list(): AsyncIterable<ArchiveId>;
}

/** Optional: a storage that can read past the memory that what is often read is kept in. */
export interface UncachedReads {
  /** As `open`, for whoever reads everything once: neither fills that memory nor believes it. One read at a time. */
  openUncached(id: ArchiveId): Promise<StoredFile>;
}

/** Optional: a storage where a crash can leave unfinished files behind. */
export interface Sweeping {
  /** Removes what processes that died left unfinished, never what a running one is at. @returns how many files */
  sweep(): Promise<number>;
}

/**
 * A file that is written before its id is known. Drafts are grouped (one group an ingest job), so that a whole group
 * can be found again after a crash and removed at once.
 */
export interface Draft {
  /** name of the draft, unique in its group; to be kept by the caller to find it again */
  readonly name: string;
  /** Appends. The chunk's memory is the caller's again when this resolves. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Makes what was written durable (mode, mtime, fsync); that the draft is found after a power cut takes
   * {@link Drafts.sync}, too.
   * @param mtimeMs modification time to keep
   */
  finish(mtimeMs: number): Promise<void>;
  /** Removes it. */
  discard(): Promise<void>;
}

/** How bytes that are copied or sent are followed, and stopped; where a file only gets a name there are none. */
export interface TransferOptions extends Pick<PutOptions, 'signal'> {
  /** told of bytes as they go; of fewer than none when what went was for nothing and they go once more */
  onBytes?: (bytes: number) => void;
}

export interface PublishOptions extends Pick<PutOptions, 'beforeVisible'>, TransferOptions {
  /** what is known of the bytes, for the archive's records */
  checksum?: Checksum;
}

/** Optional: write now and name later. What ingest wants, since ids come last. */
export interface Drafts {
  /** Starts a draft. `group` is letters, digits, `-`. A draft of the same name that was never finished is replaced. */
  create(group: string, name: string): Promise<Draft>;
  /** Makes durable that the drafts are there which were finished so far: once for many of them. */
  sync(group: string): Promise<void>;
  /** Opens a finished draft for reading. `not-found` when there is none. */
  open(group: string, name: string): Promise<StoredFile>;
  /**
   * Lets a finished draft be seen as file `id`, durable when it resolves. The draft stays. Never replaces: `exists` when
   * the id is taken by another file; nothing more to do when it is this very draft already.
   */
  publish(group: string, name: string, id: ArchiveId, options?: PublishOptions): Promise<void>;
  /** Takes back a publish: removes file `id` if, and only if, it is this draft. */
  unpublish(group: string, name: string, id: ArchiveId): Promise<void>;
  /** Removes a whole group; published files stay. Nothing to do when there is none. */
  removeGroup(group: string): Promise<void>;
  /** @returns the groups that are there */
  groups(): Promise<string[]>;
}

/** @returns whether the backend's files lie on a local file system */
export function hasLocalPaths(backend: StorageBackend): backend is StorageBackend & LocalPaths {
  return 'localPath' in backend;
}

/** @returns whether the backend can tell which files it has */
export function canList(backend: StorageBackend): backend is StorageBackend & Listing {
  return 'list' in backend;
}

/** @returns whether the backend can read past its cache */
export function hasUncachedReads(backend: StorageBackend): backend is StorageBackend & UncachedReads {
  return 'openUncached' in backend;
}

/** @returns whether the backend can write now and name later */
export function hasDrafts(backend: StorageBackend): backend is StorageBackend & { readonly drafts: Drafts } {
  return 'drafts' in backend;
}

/** @returns whether crashes leave something behind that is to be swept */
export function canSweep(backend: StorageBackend): backend is StorageBackend & Sweeping {
  return 'sweep' in backend;
}

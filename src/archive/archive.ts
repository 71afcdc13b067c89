import type { ArchiveId } from '../lib/archive-id.js';
import type { RandomReader } from '../lib/random-reader.js';
import type { Drafts, FileStatus, PutOptions, TransferOptions } from '../storage/backends/backend.js';

/** A file of the archive, open for reading. */
export interface ArchiveFile {
  readonly status: FileStatus;
  /** Bytes `[start, end)`, the whole file by default. Throws `integrity` when the bytes end too early. */
  stream(start?: number, end?: number): AsyncIterable<Uint8Array>;
  /** present when any place can be read cheaply (the file is on this machine) */
  readonly reader?: RandomReader;
  close(): Promise<void>;
}

/**
 * The archive as cart, ingest and proxy see it: in this process (LocalArchive) or over HTTP (RemoteArchive, which also
 * speaks to an original Pacifica archive interface). Errors as in StorageBackend, plus `unavailable`, `timeout` and
 * `bad-gateway` from the network.
 */
export interface Archive {
  /** As in StorageBackend, but that each piece of `body` is in memory of its own: a connection keeps it until it is sent. */
  put(id: ArchiveId, body: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<{ size: number }>;
  /** Opens a file; its bytes do not change while it is open. */
  open(id: ArchiveId): Promise<ArchiveFile>;
  status(id: ArchiveId): Promise<FileStatus>;
  /** Asks for files to be brought to disk, in bulk; returns when it is asked for. */
  stage(ids: readonly ArchiveId[]): Promise<void>;
  /** Takes in a file that lies on the archive's machine (wire: PATCH). `forbidden` outside the folders that the site allows. */
  move(id: ArchiveId, path: string, options?: Pick<PutOptions, 'mode'> & TransferOptions): Promise<void>;
  /**
   * Present when the files that {@link move} takes lie on this machine, where the caller can read them: checks that the
   * site lets this path be moved in, and that it is none of the archive's own files, which others know by their ids;
   * without looking at the file. `forbidden` otherwise.
   */
  checkMove?(path: string): Promise<void>;
  delete(id: ArchiveId): Promise<void>;
  /** Files written before their ids are known; in the archive's own file system where that is local. */
  readonly drafts: Drafts;
  /** Path of a file on this machine that may be linked; undefined when the archive's files are not on it. */
  localPath?(id: ArchiveId): Promise<string>;
  /** The folder that all of {@link localPath} lie below; there with it. */
  readonly localRoot?: string;
  /** Present where every file that is there lies on a disk of this machine: the path that it has. Looks at nothing. */
  pathOf?(id: ArchiveId): string;
  /** Removes what processes that died left unfinished on this machine. Safe at any time. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}

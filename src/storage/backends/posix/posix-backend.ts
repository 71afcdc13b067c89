import { lstat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { abortable, abortError } from '../../../lib/abortable.js';
import type { ArchiveId } from '../../../lib/archive-id.js';
import { counted } from '../../../lib/counted.js';
import { PacificaError, systemCode } from '../../../lib/errors.js';
import { statFile, statPath, unlinkFile } from '../../../lib/file-calls.js';
import { SyncedWriter } from '../../../lib/synced-writer.js';
import type {
  Drafts,
  FileStatus,
  Listing,
  LocalPaths,
  PutOptions,
  StorageBackend,
  StoredFile,
  TransferOptions,
  UncachedReads,
} from '../backend.js';
import { adoptFile } from './adopt.js';
import { DraftFolder } from './draft-folder.js';
import { Layout, OWN_FOLDER } from './layout.js';
import { listFiles } from './list-files.js';
import { fileStatus, isMissing, PosixFile, written } from './posix-file.js';
import { PosixDrafts } from './posix-drafts.js';
import { storageError } from './storage-error.js';
import { seal, type TemporaryFile, TemporaryFiles, unlinkIfThere } from './temporary-files.js';
import { UncachedFile } from './uncached-file.js';
import { VisibleNames } from './visible-names.js';

export interface PosixOptions {
  /** spread files over folders by the id's hex digits; ids must be numbers then */
  useId2filename: boolean;
}

/** Files in a folder of a POSIX file system, one file an id, readable by every other program. */
export class PosixBackend implements StorageBackend, LocalPaths, Listing, UncachedReads {
  readonly url: string;
  readonly drafts: Drafts;
  readonly #layout: Layout;
  readonly #names: VisibleNames;
  readonly #temporary: TemporaryFiles;

  /** @param folder where everything is kept; made when the first file is written */
  constructor(folder: string, { useId2filename }: PosixOptions) {
    const root = resolve(folder);
    this.url = `posix://${pathToFileURL(root).pathname}`;
    this.#layout = new Layout(root, useId2filename);
    this.#temporary = new TemporaryFiles(join(root, OWN_FOLDER, 'tmp'));
    this.#names = new VisibleNames(root, this.#temporary);
    this.drafts = new PosixDrafts(
      new DraftFolder(join(root, OWN_FOLDER, 'drafts'), this.#temporary),
      this.#names,
      this.#layout,
      this.#temporary,
    );
  }

  /** folder that holds everything */
  get root(): string {
    return this.#layout.root;
  }

  /** our own folder below the root: its files are no files of the archive */
  get ownFolder(): string {
    return join(this.#layout.root, OWN_FOLDER);
  }

  /** The steps and their order are those of restic's local backend (internal/backend/local/local.go, Save). */
  async put(id: ArchiveId, body: AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<FileStatus> {
    return this.#put(id, body, options);
  }

  /** @param check looks at the file when its bytes are written; throws to keep it from becoming visible */
  async #put(
    id: ArchiveId,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions,
    check?: (file: TemporaryFile) => Promise<void>,
  ): Promise<FileStatus> {
    const path = this.#layout.path(id);
    const doing = `can not store file ${id}`;
    let temporary: TemporaryFile | undefined;
    try {
      // the answer is the same after the transfer; this saves the transfer
      if (options.mode === 'exclusive' && (await exists(path))) throw taken(id);
      temporary = await this.#temporary.create();
      await this.#write(temporary, body, options, check);
      await this.#show(temporary.path, path, id, options.mode);
      await this.#names.sync(path);
      // asked of the open file: the name may be another one's by now
      const stats = await statFile(temporary.fd);
      await temporary.close();
      return fileStatus(stats, path);
    } catch (error) {
      if (temporary !== undefined) await discard(temporary);
      throw putError(error, doing);
    }
  }

  async #write(
    temporary: TemporaryFile,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions,
    check?: (file: TemporaryFile) => Promise<void>,
  ): Promise<void> {
    const writer = new SyncedWriter(temporary);
    try {
      for await (const piece of options.signal === undefined ? body : abortable(body, options.signal)) {
        await writer.write(piece);
        if (options.size !== undefined && writer.size > options.size) throw wrongLength(writer.size, options.size);
      }
      await writer.flush();
      if (options.size !== undefined && writer.size !== options.size) throw wrongLength(writer.size, options.size);
      await check?.(temporary);
      const stats = await seal(temporary, options.mtimeMs ?? Date.now());
      await options.beforeVisible?.(written(stats));
      if (options.signal?.aborted === true) throw abortError(options.signal);
      await writer.sync();
    } finally {
      await writer.release();
    }
  }

  /** Gives the complete file at `from` its place in the archive. When it throws, both are as they were. */
  async #show(from: string, to: string, id: ArchiveId, mode: PutOptions['mode']): Promise<void> {
    if (mode !== 'exclusive') {
      await this.#names.rename(from, to);
      return;
    }
    if (!(await this.#names.link(from, to))) throw taken(id);
    try {
      await unlinkFile(from);
    } catch (error) {
      await this.#names.unlink(to);
      throw error;
    }
  }

  async open(id: ArchiveId): Promise<StoredFile> {
    return PosixFile.open(this.#layout.path(id), () => missing(id));
  }

  async openUncached(id: ArchiveId): Promise<StoredFile> {
    return UncachedFile.open(this.#layout.path(id), () => missing(id));
  }

  list(): AsyncIterable<ArchiveId> {
    return listFiles(this.#layout);
  }

  pathOf(id: ArchiveId): string {
    return this.#layout.path(id);
  }

  async status(id: ArchiveId): Promise<FileStatus> {
    const path = this.#layout.path(id);
    try {
      const stats = await statPath(path);
      if (!stats.isFile()) throw missing(id);
      return fileStatus(stats, path);
    } catch (error) {
      if (isMissing(error)) throw missing(id);
      throw storageError(error, `can not look at file ${id}`);
    }
  }

  idAt(path: string): ArchiveId | undefined {
    return this.#layout.idAt(path);
  }

  async localPath(id: ArchiveId): Promise<string> {
    return (await this.status(id)).path;
  }

  /** Everything is on disk already; missing files are told all the same. */
  async stage(ids: readonly ArchiveId[]): Promise<void> {
    for (const id of ids) await this.status(id);
  }

  async adopt(
    id: ArchiveId,
    source: string,
    options: Pick<PutOptions, 'mode' | 'beforeVisible'> & TransferOptions = {},
  ): Promise<FileStatus> {
    const path = this.#layout.path(id);
    const { mode, signal, onBytes } = options;
    try {
      if (mode === 'exclusive' && (await exists(path))) throw taken(id);
      if (source === path) return await this.status(id);
      return await adoptFile(source, {
        path,
        beforeVisible: options.beforeVisible,
        show: (from) => this.#show(from, path, id, mode),
        sync: () => this.#names.sync(path),
        put: (body, copied, check) => this.#put(id, counted(body, onBytes), { mode, signal, ...copied }, check),
      });
    } catch (error) {
      throw putError(error, `can not take in ${source} as file ${id}`);
    }
  }

  async delete(id: ArchiveId): Promise<void> {
    try {
      if (!(await this.#names.unlink(this.#layout.path(id)))) throw missing(id);
    } catch (error) {
      throw storageError(error, `can not delete file ${id}`);
    }
  }

  /**
   * Removes the temporary files of processes that died. What another running process is writing stays.
   * @returns how many files were removed
   */
  async sweep(): Promise<number> {
    return this.#temporary.sweep(async (path) => this.#names.removeEmptyFolders(join(this.root, path)));
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function discard(temporary: TemporaryFile): Promise<void> {
  // the first error is the one to tell; what can not be removed now is swept later
  await temporary.close().catch(() => undefined);
  await unlinkIfThere(temporary.path).catch(() => undefined);
}

/** A missing folder or temporary file of our own is not a missing file of the archive. */
function putError(error: unknown, doing: string): PacificaError {
  const code = systemCode(error) ?? '';
  if (['EISDIR', 'ENOTEMPTY'].includes(code)) {
    return new PacificaError('exists', `${doing}: a folder has its name`, { cause: error });
  }
  const wrapped = storageError(error, doing);
  return code === 'ENOENT' ? new PacificaError('internal', wrapped.message, { cause: error }) : wrapped;
}

function missing(id: ArchiveId): PacificaError {
  return new PacificaError('not-found', `file ${id} is not in the archive`);
}

function taken(id: ArchiveId): PacificaError {
  return new PacificaError('exists', `file ${id} is in the archive already`);
}

function wrongLength(got: number, announced: number): PacificaError {
  return new PacificaError(
    'invalid',
    got > announced
      ? `more than the announced ${announced} bytes came`
      : `${got} bytes came, ${announced} were announced`,
  );
}

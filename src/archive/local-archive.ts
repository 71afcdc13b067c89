import type { ArchiveId } from '../lib/archive-id.js';
import { PacificaError } from '../lib/errors.js';
import { type RandomReader, readChunks } from '../lib/random-reader.js';
import {
  canSweep,
  type Drafts,
  type FileStatus,
  hasDrafts,
  hasLocalPaths,
  type PutOptions,
  type StorageBackend,
  type Written,
} from '../storage/backends/backend.js';
import type { Archive, ArchiveFile } from './archive.js';
import { IdLocks } from './id-locks.js';
import { MoveRoots } from './move-roots.js';

/** Looks at what is there under an id right before it is replaced or deleted; throws to keep it. */
export type Condition = (current: FileStatus | undefined) => void;

export interface LocalArchiveOptions {
  readonly backend: StorageBackend;
  /** folders that {@link LocalArchive.move} may take files from; the archive's own is always among them */
  readonly moveRoots?: readonly string[];
}

export interface LocalArchiveFile extends ArchiveFile {
  readonly reader: RandomReader;
}

/** The archive in this process, on a storage backend. */
export class LocalArchive implements Archive {
  readonly drafts: Drafts;
  /** path of a file that may be linked; only where the storage has files on this machine */
  readonly localPath?: (id: ArchiveId) => Promise<string>;
  /** whether {@link move} would take a path; only where the storage has files on this machine */
  readonly checkMove?: (path: string) => Promise<void>;
  readonly #backend: StorageBackend;
  readonly #roots: MoveRoots;
  readonly #locks = new IdLocks();

  constructor({ backend, moveRoots = [] }: LocalArchiveOptions) {
    if (!hasDrafts(backend)) {
      throw new PacificaError('internal', `the storage ${backend.url} can not write a file before its id is known`);
    }
    this.#backend = backend;
    this.drafts = backend.drafts;
    if (hasLocalPaths(backend)) {
      this.localPath = (id) => backend.localPath(id);
      this.#roots = new MoveRoots([...moveRoots, backend.root], [backend.ownFolder]);
      this.checkMove = async (path) => {
        await this.#roots.check(path);
      };
    } else {
      this.#roots = new MoveRoots(moveRoots, []);
    }
  }

  async put(
    id: ArchiveId,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions & { condition?: Condition } = {},
  ): Promise<FileStatus> {
    return this.#changing(id, options, (beforeVisible) => this.#backend.put(id, body, { ...options, beforeVisible }));
  }

  async open(id: ArchiveId): Promise<LocalArchiveFile> {
    const file = await this.#backend.open(id);
    return {
      status: file.status,
      reader: file,
      stream: (start, end) => readChunks(file, start, end),
      close: () => file.close(),
    };
  }

  async status(id: ArchiveId): Promise<FileStatus> {
    return this.#backend.status(id);
  }

  async stage(ids: readonly ArchiveId[]): Promise<void> {
    await this.#backend.stage(ids);
  }

  async move(
    id: ArchiveId,
    path: string,
    options: Pick<PutOptions, 'mode'> & { condition?: Condition } = {},
  ): Promise<void> {
    const real = await this.#roots.check(path);
    await this.#changing(id, options, (beforeVisible) =>
      this.#backend.adopt(id, real, { mode: options.mode, beforeVisible }),
    );
  }

  async delete(id: ArchiveId, options: { condition?: Condition } = {}): Promise<void> {
    const release = await this.#locks.acquire(id);
    try {
      if (options.condition !== undefined) options.condition(await this.#current(id));
      await this.#backend.delete(id);
    } finally {
      release();
    }
  }

  async sweep(): Promise<void> {
    if (canSweep(this.#backend)) await this.#backend.sweep();
  }

  async close(): Promise<void> {
    await this.#backend.close();
  }

  /** Runs a change whose last step, from the look at what is there to the new name, nobody else may come between. */
  async #changing(
    id: ArchiveId,
    { condition, beforeVisible }: { condition?: Condition; beforeVisible?: PutOptions['beforeVisible'] },
    change: (beforeVisible: (written: Written) => Promise<void>) => Promise<FileStatus>,
  ): Promise<FileStatus> {
    let release: (() => void) | undefined;
    // what does not hold beforehand need not be transferred
    if (condition !== undefined) condition(await this.#current(id));
    try {
      return await change(async (written) => {
        await beforeVisible?.(written);
        release ??= await this.#locks.acquire(id);
        if (condition !== undefined) condition(await this.#current(id));
      });
    } finally {
      release?.();
    }
  }

  async #current(id: ArchiveId): Promise<FileStatus | undefined> {
    try {
      return await this.#backend.status(id);
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return undefined;
      throw error;
    }
  }
}

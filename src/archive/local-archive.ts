import type { ArchiveId } from '../lib/archive-id.js';
import { type Checksum, type ChecksumType, checksumReader } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';
import { Lru } from '../lib/lru.js';
import { type RandomReader, readChunks } from '../lib/random-reader.js';
import {
  canSweep,
  type Drafts,
  type FileStatus,
  hasDrafts,
  hasLocalPaths,
  type PutOptions,
  type StorageBackend,
  type TransferOptions,
  type Written,
} from '../storage/backends/backend.js';
import type { ArchiveFiles } from '../storage/database/archive-files.js';
import type { Archive, ArchiveFile } from './archive.js';
import { BodyChecks } from './body-checks.js';
import { FileRecords } from './file-records.js';
import { IdLocks } from './id-locks.js';
import { MoveRoots } from './move-roots.js';
import { RecordedDrafts } from './recorded-drafts.js';

/** Looks at what is there under an id right before it is replaced or deleted; throws to keep it. */
export type Condition = (current: FileStatus | undefined) => void;

export interface LocalArchiveOptions {
  readonly backend: StorageBackend;
  /** folders that {@link LocalArchive.move} may take files from; the archive's own is always among them */
  readonly moveRoots?: readonly string[];
  /** where it is written down what is in the archive; nothing is when absent */
  readonly records?: {
    readonly tables: ArchiveFiles;
    /** checksum that is taken of every file that is put */
    readonly checksum: ChecksumType | 'none';
    /** told about what failed and will be mended later */
    onProblem(error: unknown): void;
  };
}

export interface LocalPutOptions extends PutOptions {
  readonly condition?: Condition;
  /** what the sender says of the bytes: `integrity` when something else came */
  readonly checksums?: readonly Checksum[];
}

/** ms between two rounds of mending records */
const MEND_INTERVAL = 10 * 60_000;
/** how many files' checksums that were asked for, and are not on record, are kept */
const COMPUTED = 1000;

export interface LocalArchiveFile extends ArchiveFile {
  readonly reader: RandomReader;
}

/** The archive in this process, on a storage backend. */
export class LocalArchive implements Archive {
  readonly drafts: Drafts;
  /** path of a file that may be linked; only where the storage has files on this machine */
  readonly localPath?: (id: ArchiveId) => Promise<string>;
  readonly localRoot?: string;
  readonly pathOf?: (id: ArchiveId) => string;
  /** whether {@link move} would take a path; only where the storage has files on this machine */
  readonly checkMove?: (path: string) => Promise<void>;
  readonly #backend: StorageBackend;
  readonly #roots: MoveRoots;
  readonly #locks = new IdLocks();
  readonly #records: FileRecords | undefined;
  readonly #checksum: ChecksumType | undefined;
  readonly #computed = new Lru<string, string>(COMPUTED);
  #mended = -Infinity;

  constructor({ backend, moveRoots = [], records }: LocalArchiveOptions) {
    if (!hasDrafts(backend)) {
      throw new PacificaError('internal', `the storage ${backend.url} can not write a file before its id is known`);
    }
    this.#backend = backend;
    this.drafts = backend.drafts;
    if (records !== undefined) {
      this.#records = new FileRecords(records.tables, (error) => records.onProblem(error));
      this.#checksum = records.checksum === 'none' ? undefined : records.checksum;
      this.drafts = new RecordedDrafts(backend.drafts, this.#records, (id) => this.#current(id));
    }
    if (hasLocalPaths(backend)) {
      this.localPath = (id) => backend.localPath(id);
      this.localRoot = backend.root;
      this.pathOf = (id) => backend.pathOf(id);
      this.#roots = new MoveRoots([...moveRoots, backend.root], [backend.ownFolder]);
      this.checkMove = async (path) => {
        const owner = backend.idAt(await this.#roots.check(path));
        if (owner === undefined) return;
        throw new PacificaError('forbidden', `${path} is file ${owner} of the archive already`, {
          hint: 'take it from a folder of its own: below this name the archive would have nothing any more',
        });
      };
    } else {
      this.#roots = new MoveRoots(moveRoots, []);
    }
  }

  async put(id: ArchiveId, body: AsyncIterable<Uint8Array>, options: LocalPutOptions = {}): Promise<FileStatus> {
    const { condition, checksums = [], beforeVisible, ...rest } = options;
    const wanted = this.#checksum;
    const types = [...(wanted === undefined ? [] : [wanted]), ...checksums.map(({ type }) => type)];
    const checks = new BodyChecks(types);
    const change: Change = {
      condition,
      async look(written) {
        await checks.compare(checksums);
        await beforeVisible?.(written);
        return wanted === undefined ? undefined : checks.taken(wanted);
      },
    };
    return this.#changing(id, change, (look) =>
      this.#backend.put(id, types.length === 0 ? body : checks.watch(body), { ...rest, beforeVisible: look }),
    );
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
    options: Pick<PutOptions, 'mode'> & TransferOptions & { condition?: Condition } = {},
  ): Promise<void> {
    const { condition, ...adopting } = options;
    const source = await this.#roots.check(path);
    const owner = hasLocalPaths(this.#backend) ? this.#backend.idAt(source) : undefined;
    const change: Change = { condition };
    if (owner !== undefined && owner !== id) {
      const status = await this.#backend.status(owner);
      change.look = async () => {
        const checksum = await this.checksumOf(owner, status);
        await this.#records?.deleting(owner, status);
        return checksum;
      };
    }
    await this.#changing(id, change, (look) => this.#backend.adopt(id, source, { ...adopting, beforeVisible: look }));
    if (owner !== undefined && owner !== id) this.#records?.deleted(owner);
  }

  async delete(id: ArchiveId, options: { condition?: Condition } = {}): Promise<void> {
    const release = await this.#locks.acquire(id);
    try {
      const status = await this.#current(id);
      options.condition?.(status);
      if (status !== undefined) await this.#records?.deleting(id, status);
      await this.#backend.delete(id);
      this.#records?.deleted(id);
    } finally {
      release();
    }
  }

  /** @returns the checksum on record of this version of a file; undefined when there is none */
  async checksumOf(id: ArchiveId, status: FileStatus): Promise<Checksum | undefined> {
    return this.#records?.checksumOf(id, status);
  }

  /** @returns a checksum of a file, read from its bytes; remembered for a while */
  async computeChecksum(file: Pick<LocalArchiveFile, 'status' | 'reader'>, type: ChecksumType): Promise<Checksum> {
    const key = `${type} ${file.status.etag}`;
    let sum = this.#computed.get(key);
    if (sum === undefined) {
      sum = await checksumReader(file.reader, type);
      this.#computed.set(key, sum);
    }
    return { type, sum };
  }

  async sweep(): Promise<void> {
    if (canSweep(this.#backend)) await this.#backend.sweep();
    if (this.#records === undefined || performance.now() - this.#mended < MEND_INTERVAL) return;
    this.#mended = performance.now();
    await this.#records.mend((id) => this.#current(id));
  }

  async close(): Promise<void> {
    await this.#records?.close();
    await this.#backend.close();
  }

  /**
   * Runs a change whose last step, from the look at what is there to the new name, nobody else may come between, and
   * writes it down.
   */
  async #changing(
    id: ArchiveId,
    { condition, look }: Change,
    change: (beforeVisible: (written: Written) => Promise<void>) => Promise<FileStatus>,
  ): Promise<FileStatus> {
    let release: (() => void) | undefined;
    let settle: ((status: FileStatus) => void) | undefined;
    // what does not hold beforehand need not be transferred
    if (condition !== undefined) condition(await this.#current(id));
    try {
      const status = await change(async (written) => {
        const checksum = await look?.(written);
        release ??= await this.#locks.acquire(id);
        if (condition !== undefined) condition(await this.#current(id));
        settle = await this.#records?.announce(id, written, checksum);
      });
      settle?.(status);
      return status;
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

/** A change of what is under an id. */
interface Change {
  condition?: Condition | undefined;
  /** looks at the new file when it is complete; throws to keep the old one. @returns what is known of the bytes */
  look?: (written: Written) => Promise<Checksum | undefined>;
}

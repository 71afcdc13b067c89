import type { ArchiveId } from '../lib/archive-id.js';
import { type Checksum, type ChecksumType, isChecksumType, takeChecksum } from '../lib/checksum.js';
import { feedReader } from '../lib/digest.js';
import { mayPass, messageOf, PacificaError } from '../lib/errors.js';
import type { RandomReader } from '../lib/random-reader.js';
import {
  type FileStatus,
  hasLocalPaths,
  hasUncachedReads,
  type StorageBackend,
  type StoredFile,
} from '../storage/backends/backend.js';
import type { ArchiveFiles, StoredRecord } from '../storage/database/archive-files.js';
import type { Damage } from '../storage/database/archive-verify.js';

/** What became of verifying one file. */
export type Verdict =
  /** as recorded */
  | { readonly state: 'good' }
  | { readonly state: 'damaged'; readonly damage: Damage }
  /** it is there, and no checksum is on record; `adopted` is the one that is from now on */
  | { readonly state: 'unrecorded'; readonly path: string; readonly adopted?: Checksum }
  /** neither the file nor a record that it should be there: it was deleted, or never was */
  | { readonly state: 'absent' };

export interface FileVerifierOptions {
  readonly backend: StorageBackend;
  readonly tables: ArchiveFiles;
  /** checksum to put on record of files that have none; they are left alone when absent */
  readonly adopt?: ChecksumType;
  /** waits until so many bytes more may be read, and is told of them */
  readonly beforeRead: (bytes: number) => Promise<void>;
  /** stops reading at once */
  readonly signal?: AbortSignal;
}

/** how often a file is looked at again because it changed meanwhile */
const TRIES = 5;

/** A verdict, and what must still be so for it to be true. */
interface Look {
  readonly verdict: Verdict;
  /** the file that was looked at; undefined when none was there, or it could not be opened */
  readonly status: FileStatus | undefined;
  /** the record that it was compared with */
  readonly record: StoredRecord | undefined;
}

/** Compares files of the archive with what is on record of them. Others may replace and delete them meanwhile. */
export class FileVerifier {
  readonly #options: FileVerifierOptions;

  constructor(options: FileVerifierOptions) {
    this.#options = options;
  }

  /**
   * Reads a file and compares it with its record. A file that is replaced or deleted meanwhile is no damage.
   * @param known its records as they were a little earlier; they are read when absent
   * @throws the signal's reason, and what may pass: the database or the storage can not be reached
   */
  async verify(id: ArchiveId, known?: readonly StoredRecord[]): Promise<Verdict> {
    for (let attempt = 1; ; attempt += 1) {
      const look = await this.#look(id, attempt === 1 ? known : undefined);
      if (look.verdict.state === 'good') return look.verdict;
      if (await this.#isStillSo(id, look)) {
        await this.#adopt(id, look);
        return look.verdict;
      }
      // somebody writes to it in its place: no archive does that
      if (attempt === TRIES) return withoutAdopted(look.verdict);
    }
  }

  async #look(id: ArchiveId, known: readonly StoredRecord[] | undefined): Promise<Look> {
    let file: StoredFile;
    try {
      file = await this.#open(id);
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return this.#absent(id);
      return { verdict: this.#unreadable(id, error), status: undefined, record: undefined };
    }
    try {
      const { status } = file;
      // written before the file became visible: what is not among those of before is asked for now that it is open
      const before = known?.find(({ version, digest }) => version === status.etag && digest !== null);
      const record = before ?? recordFor(status, await this.#options.tables.find(id));
      return { verdict: await this.#compare(id, file, record), status, record };
    } finally {
      await file.close();
    }
  }

  async #open(id: ArchiveId): Promise<StoredFile> {
    const { backend } = this.#options;
    return hasUncachedReads(backend) ? backend.openUncached(id) : backend.open(id);
  }

  async #absent(id: ArchiveId): Promise<Look> {
    const record = (await this.#options.tables.find(id)).find(({ state }) => state === 'settled');
    if (record === undefined) return { verdict: { state: 'absent' }, status: undefined, record };
    const detail = `${record.size} bytes were recorded`;
    return { verdict: this.#damage(id, 'missing', detail), status: undefined, record };
  }

  async #compare(id: ArchiveId, file: StoredFile, record: StoredRecord | undefined): Promise<Verdict> {
    const { size, path } = file.status;
    if (record !== undefined && record.size !== size) {
      return this.#damage(id, 'size', `${record.size} bytes were recorded, ${size} are there`);
    }
    const expected = record === undefined ? undefined : checksumIn(record);
    const type = expected?.type ?? this.#options.adopt;
    if (record === undefined && type === undefined) return { state: 'unrecorded', path };
    const taker = type === undefined ? undefined : takeChecksum(type);
    try {
      await feedReader(this.#slowed(file), (piece) => taker?.update(piece), this.#options.signal);
    } catch (error) {
      return this.#unreadable(id, error);
    }
    if (taker === undefined || type === undefined) return { state: 'unrecorded', path };
    const found: Checksum = { type, sum: taker.digest() };
    if (expected === undefined) return { state: 'unrecorded', path, adopted: found };
    if (found.sum === expected.sum) return { state: 'good' };
    return this.#damage(id, 'digest', `${type} ${expected.sum} was recorded, ${found.sum} is there`);
  }

  #slowed(file: StoredFile): RandomReader {
    return {
      size: file.size,
      read: async (buffer, position) => {
        await this.#options.beforeRead(Math.min(buffer.length, file.size - position));
        return file.read(buffer, position);
      },
      close: () => file.close(),
    };
  }

  /** What could not be read; nobody can say so of a file when it is we who stopped, or the storage that is away. */
  #unreadable(id: ArchiveId, error: unknown): Verdict {
    this.#options.signal?.throwIfAborted();
    if (mayPass(error)) throw error;
    return this.#damage(id, 'unreadable', messageOf(error));
  }

  #damage(id: ArchiveId, reason: Damage['reason'], detail: string): Verdict {
    const { backend } = this.#options;
    const path = hasLocalPaths(backend) ? backend.pathOf(id) : '';
    return { state: 'damaged', damage: { id, reason, path, detail } };
  }

  /** @returns whether file and record are still those that were looked at */
  async #isStillSo(id: ArchiveId, { verdict, status, record }: Look): Promise<boolean> {
    // what can not be opened can not be told from another one
    if (verdict.state === 'damaged' && verdict.damage.reason === 'unreadable' && status === undefined) return true;
    if ((await this.#etag(id)) !== status?.etag) return false;
    if (record === undefined) return true;
    const now = (await this.#options.tables.find(id)).find(({ key }) => key === record.key);
    // between the two looks at the file nobody put it there and took it away again: that would be on record
    return now?.state === record.state && (await this.#etag(id)) === status?.etag;
  }

  async #etag(id: ArchiveId): Promise<string | undefined> {
    try {
      return (await this.#options.backend.status(id)).etag;
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  /**
   * Puts the checksum of an unrecorded file on record: as announced, since another process may be deleting or replacing
   * the file right now. It speaks of this version only, and is settled or removed like all that is announced
   * (FileRecords.mend).
   */
  async #adopt(id: ArchiveId, { verdict, status }: Look): Promise<void> {
    if (verdict.state !== 'unrecorded' || verdict.adopted === undefined || status === undefined) return;
    const { type, sum } = verdict.adopted;
    const { size, mtimeMs, etag } = status;
    const mtime = Math.floor(mtimeMs);
    await this.#options.tables.announce({ id, version: etag, size, mtime, algorithm: type, digest: sum });
  }
}

function withoutAdopted(verdict: Verdict): Verdict {
  return verdict.state === 'unrecorded' ? { state: 'unrecorded', path: verdict.path } : verdict;
}

/**
 * @param records rows of the file, the newest first
 * @returns the one that says what the file should be: that of its version; else one of its size and time, where the file
 * was copied as a whole to another disk; else the last one that the file was seen to be. One with a checksum, if any.
 */
function recordFor(status: FileStatus, records: readonly StoredRecord[]): StoredRecord | undefined {
  const same = records.filter(({ version }) => version === status.etag);
  const alike = records.filter(
    ({ size, mtime, state }) => state !== 'old' && size === status.size && mtime === Math.floor(status.mtimeMs),
  );
  const settled = records.filter(({ state }) => state === 'settled').slice(0, 1);
  const candidates = [same, alike, settled].find((group) => group.length > 0) ?? [];
  return candidates.find(({ digest }) => digest !== null) ?? candidates[0];
}

function checksumIn({ id, algorithm, digest }: StoredRecord): Checksum | undefined {
  if (algorithm === null || digest === null) return undefined;
  if (!isChecksumType(algorithm)) {
    throw new PacificaError('internal', `the record of file ${id} has an unknown algorithm: ${algorithm}`);
  }
  return { type: algorithm, sum: digest };
}

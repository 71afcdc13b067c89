import type { ArchiveId } from '../lib/archive-id.js';
import { type Checksum, isChecksumType } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';
import { Lru } from '../lib/lru.js';
import type { FileStatus, Written } from '../storage/backends/backend.js';
import type { ArchiveFiles, FileRecord, StoredRecord } from '../storage/database/archive-files.js';

/** how many files' checksums are kept in memory */
const REMEMBERED = 5000;
/** ms that a file without a record is remembered as such: another process may make one */
const UNRECORDED = 60_000;
/** ms after which a row that is not settled is looked into: no write takes longer from its record to its name */
const MEND_AGE = 60 * 60_000;

/** What the archive remembers of its files: written down before they become visible, so that a crash makes no lie of it. */
export class FileRecords {
  readonly #tables: ArchiveFiles;
  readonly #known = new Lru<ArchiveId, { etag: string; checksum: Checksum | undefined; until: number }>(REMEMBERED);
  readonly #onProblem: (error: unknown) => void;
  readonly #later = new Set<Promise<void>>();

  /** @param onProblem told about what failed and is mended later */
  constructor(tables: ArchiveFiles, onProblem: (error: unknown) => void) {
    this.#tables = tables;
    this.#onProblem = onProblem;
  }

  /**
   * Writes down what is about to become visible.
   * @returns to be called when it is, with what it is then
   */
  async announce(
    id: ArchiveId,
    { size, mtimeMs, etag }: Written,
    checksum: Checksum | undefined,
  ): Promise<(status: Pick<FileStatus, 'etag'>) => void> {
    const key = await this.#tables.announce({
      id,
      version: etag ?? null,
      size,
      mtime: Math.floor(mtimeMs),
      algorithm: checksum?.type ?? null,
      digest: checksum?.sum ?? null,
    });
    return (status) => {
      this.#known.set(id, { etag: status.etag, checksum, until: Infinity });
      // a record that stays unsettled says the same, and is settled later
      this.#afterwards(this.#tables.settle(key, id, etag === undefined ? status.etag : null));
    };
  }

  /** Writes down that the file that is there is about to be taken away. */
  async deleting(id: ArchiveId, { etag }: FileStatus): Promise<void> {
    await this.#tables.deleting(id, etag);
    this.#known.delete(id);
  }

  /** The file was taken away. */
  deleted(id: ArchiveId): void {
    this.#afterwards(this.#tables.deleted(id));
  }

  /** @returns the checksum on record of this version of a file */
  async checksumOf(id: ArchiveId, status: FileStatus): Promise<Checksum | undefined> {
    const known = this.#known.get(id);
    if (known?.etag === status.etag && known.until > Date.now()) return known.checksum;
    const record = recordOf(status, await this.#tables.find(id));
    const checksum = record === undefined ? undefined : checksumIn(record);
    const until = checksum === undefined ? Date.now() + UNRECORDED : Infinity;
    this.#known.set(id, { etag: status.etag, checksum, until });
    return checksum;
  }

  /**
   * Puts right what crashes left: rows that speak of a file that is there are settled, the others go.
   * @param look tells what is there; undefined when nothing is
   * @param before ms since 1970: rows that are younger may be somebody's who is at work
   */
  async mend(
    look: (id: ArchiveId) => Promise<FileStatus | undefined>,
    before: number = Date.now() - MEND_AGE,
  ): Promise<void> {
    for (;;) {
      const rows = await this.#tables.unsettled(before);
      const settled: string[] = [];
      const gone: string[] = [];
      for (const row of rows) {
        const status = await look(row.id);
        (status !== undefined && speaksOf(row, status) ? settled : gone).push(row.key);
      }
      await this.#tables.mend(settled, gone);
      if (rows.length === 0) return;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#later);
    await this.#tables.close();
  }

  #afterwards(work: Promise<void>): void {
    const done = work.catch(this.#onProblem).finally(() => this.#later.delete(done));
    this.#later.add(done);
  }
}

/**
 * @param records rows of the file, the newest first
 * @returns the one that speaks of this version: by etag, or by size and time where the file was copied as a whole to
 * another disk since
 */
function recordOf(status: FileStatus, records: readonly StoredRecord[]): StoredRecord | undefined {
  return records.find(({ version }) => version === status.etag) ?? records.find((record) => isAlike(record, status));
}

function speaksOf(record: FileRecord, status: FileStatus): boolean {
  return record.version === null ? isAlike(record, status) : record.version === status.etag;
}

function isAlike({ size, mtime }: FileRecord, status: FileStatus): boolean {
  return size === status.size && mtime === Math.floor(status.mtimeMs);
}

function checksumIn({ id, algorithm, digest }: FileRecord): Checksum | undefined {
  if (algorithm === null || digest === null) return undefined;
  if (!isChecksumType(algorithm)) {
    throw new PacificaError('internal', `the record of file ${id} has an unknown algorithm: ${algorithm}`);
  }
  return { type: algorithm, sum: digest };
}

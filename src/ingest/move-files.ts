import { lstat } from 'node:fs/promises';
import type { Archive } from '../archive/archive.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { createHasher, hashReader, type HashType, parseHashType } from '../lib/digest.js';
import { messageOf, PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import type { IngestJob, IngestMember } from '../storage/database/ingest-jobs.js';
import { checkFiles } from './check-files.js';
import type { Claim } from './claim.js';
import { eachMember, fileId, type FilesStep, withFreeId } from './files.js';
import type { BundleMetadata, NamedFile } from './metadata.js';
import { Meter } from './meter.js';
import type { IngestParts } from './parts.js';
import { MOST_PROBLEMS, type Problems } from '../lib/problems.js';
import { putBack } from './put-back.js';

/** files that are moved at a time */
const PARALLEL = 4;
/** percent of the task when the files are checked: that is where they are read */
const CHECKED = 90;

/**
 * The files of a move: they lie on the archive's machine already. Where that is this one they are read and checked
 * before the first is moved, and go back when the job fails. With an archive elsewhere neither can be done: there the
 * archive's own answer is trusted, and what was moved stays moved (the wire knows no way back).
 */
export class MoveFiles implements FilesStep {
  readonly task = 'move files';
  readonly #parts: IngestParts;
  readonly #claim: Claim;
  readonly #archive: Archive;

  constructor(parts: IngestParts, claim: Claim) {
    this.#parts = parts;
    this.#claim = claim;
    this.#archive = parts.archive;
  }

  async check(job: IngestJob, metadata: BundleMetadata): Promise<void> {
    const meter = new Meter(this.#claim, [0, CHECKED], { files: metadata.fileCount, bytes: job.bytes });
    const sources = new Set<string>();
    await checkFiles(this.#parts, this.#claim, metadata, async (file, member, problems) => {
      const source = sourceOf(member);
      if (sources.has(source)) problems.add(`${file.path}: its source ${source} is named twice`);
      sources.add(source);
      return this.#compare(job, file, member, problems, meter);
    });
  }

  async #compare(
    job: IngestJob,
    file: NamedFile,
    member: IngestMember,
    problems: Problems,
    meter: Meter,
  ): Promise<IngestMember | undefined> {
    // an earlier run has moved it; it was checked before that
    if (job.firstFileId !== null && (await this.#isPlaced(parseArchiveId(fileId(job, member)), member)))
      return undefined;
    if (this.#archive.checkMove === undefined) return undefined;
    const source = sourceOf(member);
    try {
      await this.#archive.checkMove(source);
      const { size, mtimeMs, mode } = await lookAt(source);
      if (size !== file.size) {
        problems.add(`${file.path}: the metadata says ${file.size} bytes, ${source} has ${size}`);
        return undefined;
      }
      const hashsum = await this.#hash(source, file.hashtype, meter);
      meter.file(0);
      if (hashsum !== file.hashsum) {
        problems.add(`${file.path}: the metadata says ${file.hashtype} ${file.hashsum}, ${source} has ${hashsum}`);
      }
      return { ...member, hashtype: file.hashtype, hashsum, mtime: mtimeMs, mode: mode & 0o7777 };
    } catch (error) {
      if (!(error instanceof PacificaError) || !['invalid', 'not-found', 'forbidden'].includes(error.code)) throw error;
      problems.add(`${file.path}: ${messageOf(error)}`);
      return undefined;
    }
  }

  async #hash(source: string, hashtype: HashType, meter: Meter): Promise<string> {
    const reader = FileReader.open(source);
    try {
      return await hashReader(meter.reader(reader), hashtype, { signal: this.#claim.signal });
    } finally {
      await reader.close();
    }
  }

  async place(job: IngestJob): Promise<void> {
    const meter = new Meter(this.#claim, [CHECKED, 100], { files: job.members, bytes: job.bytes });
    await eachMember(this.#parts, this.#claim, PARALLEL, async (member) => {
      await meter.transfer(member.size, (onBytes) =>
        withFreeId(this.#parts, this.#claim, job, member, (id) => this.#move(id, member, onBytes)),
      );
    });
  }

  async #move(id: ArchiveId, member: IngestMember, onBytes: (bytes: number) => void): Promise<void> {
    const options = { mode: 'exclusive', signal: this.#claim.signal, onBytes } as const;
    const source = sourceOf(member);
    const isLocal = this.#archive.checkMove !== undefined;
    try {
      if (isLocal) await expectUnchanged(source, member);
      await this.#archive.move(id, source, options);
    } catch (error) {
      const code = error instanceof PacificaError ? error.code : undefined;
      if (code !== 'exists' && code !== 'not-found') throw error;
      // an earlier run may have come so far and not further
      if (await this.#isPlaced(id, member)) return;
      if (code === 'not-found' || !isLocal || !(await this.#isCopy(id, member))) throw error;
      // that run was stopped between its copy and the removal of the source
      await this.#archive.delete(id);
      await this.#archive.move(id, source, options);
    }
  }

  /** @returns whether the archive's file of that id has the bytes and the time of this one */
  async #isCopy(id: ArchiveId, member: IngestMember): Promise<boolean> {
    const { size, mtimeMs } = await this.#archive.status(id);
    return size === member.size && isSameTime(mtimeMs, member.mtime) && this.#hasHash(id, member);
  }

  /** @returns whether the archive's file of that id is this one, moved by an earlier run, with nothing left at the source */
  async #isPlaced(id: ArchiveId, member: IngestMember): Promise<boolean> {
    try {
      const status = await this.#archive.status(id);
      if (status.size !== member.size) return false;
      if (this.#archive.checkMove === undefined) return await this.#hasHash(id, member);
      return isSameTime(status.mtimeMs, member.mtime) && !(await isThere(sourceOf(member)));
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return false;
      throw error;
    }
  }

  async #hasHash(id: ArchiveId, { hashtype, hashsum }: IngestMember): Promise<boolean> {
    const hasher = createHasher(parseHashType(hashtype ?? ''));
    const file = await this.#archive.open(id);
    try {
      for await (const chunk of file.stream()) {
        this.#claim.signal.throwIfAborted();
        hasher.update(chunk);
      }
    } finally {
      await file.close();
    }
    return hasher.digest('hex') === hashsum;
  }

  async undo(job: IngestJob): Promise<string> {
    if (job.firstFileId === null) return '';
    const left: string[] = [];
    let count = 0;
    await eachMember(this.#parts, this.#claim, PARALLEL, async (member) => {
      const id = parseArchiveId(fileId(job, member));
      const reason = await this.#undoOne(id, member);
      if (reason === undefined) return;
      count += 1;
      if (left.length < MOST_PROBLEMS) left.push(`${member.path}: is file ${id} of the archive now, ${reason}`);
    });
    return [...left, ...(count > left.length ? [`and ${count - left.length} more`] : [])].join('\n');
  }

  /** @returns why a file that was moved could not be put back; undefined when it is where it was */
  async #undoOne(id: ArchiveId, member: IngestMember): Promise<string | undefined> {
    const source = sourceOf(member);
    if (this.#archive.localPath === undefined) {
      return (await this.#isPlaced(id, member)) ? 'and stays there' : undefined;
    }
    try {
      const path = await this.#archive.localPath(id);
      const reason = await putBack(path, source, member);
      if (reason === undefined) await this.#archive.delete(id);
      return reason;
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return undefined;
      throw error;
    }
  }
}

function sourceOf({ path, source }: IngestMember): string {
  if (source === null) throw new PacificaError('internal', `${path} has no source`);
  return source;
}

async function lookAt(path: string): Promise<{ size: number; mtimeMs: number; mode: number }> {
  try {
    const stats = await lstat(path);
    if (!stats.isFile()) throw new PacificaError('invalid', `${path} is not a regular file`);
    return stats;
  } catch (error) {
    throw wrapSystemError(error, `can not look at ${path}`);
  }
}

async function expectUnchanged(source: string, member: IngestMember): Promise<void> {
  const { size, mtimeMs } = await lookAt(source);
  if (size === member.size && isSameTime(mtimeMs, member.mtime)) return;
  throw new PacificaError('integrity', `${source} was changed after it was checked`);
}

/** A database keeps fewer digits than the file system. */
function isSameTime(one: number, other: number): boolean {
  return Math.abs(one - other) < 1;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false;
    throw wrapSystemError(error, `can not look at ${path}`);
  }
}

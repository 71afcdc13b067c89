import type { ArchiveId } from '../lib/archive-id.js';
import type { Checksum, ChecksumType } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';
import { inOrder } from '../lib/in-order.js';
import { Throttle } from '../lib/throttle.js';
import { canList, type FileStatus, type Listing, type StorageBackend } from '../storage/backends/backend.js';
import type { ArchiveFiles, StoredRecord } from '../storage/database/archive-files.js';
import type { Damage, VerifyCounts, VerifyPass, VerifyRun, VerifyRuns } from '../storage/database/archive-verify.js';
import { FileRecords } from './file-records.js';
import { FileVerifier, type Verdict } from './verify-file.js';
import type { Chooser, Selection } from './verify-selection.js';

/** files that are read at a time: enough to hash one while others are read; disks would jump between more */
const AT_A_TIME = 4;
/** ids that are asked for at once */
const PAGE = 500;
/** ms between two notes of how far it is */
const SAVE_EVERY = 1000;
/** ms between two signs of life, however long a file takes */
const BEAT = 10_000;

export interface VerifyParts {
  readonly backend: StorageBackend;
  readonly tables: ArchiveFiles;
  readonly runs: VerifyRuns;
}

/** What a person is told about a file. */
export type Finding =
  | Damage
  | { readonly id: ArchiveId; readonly reason: 'unrecorded'; readonly path: string; readonly adopted?: Checksum };

export interface VerifyOptions {
  /** told about every file that is not as recorded, in the order of the files */
  readonly onFinding: (finding: Finding) => void;
  /** told about the counts after every file */
  readonly onCounts?: (counts: VerifyCounts) => void;
  /** told how many bytes there are to read, about */
  readonly onTotal?: (bytes: number) => void;
  /** told about bytes right before they are read */
  readonly onRead?: (bytes: number) => void;
  /** bytes a second that are read at most */
  readonly rate?: number;
  /** checksum to take of files that have none on record, and to put on record */
  readonly adopt?: ChecksumType;
  /** performance.now() after which no file is begun */
  readonly deadline?: number;
  /** stops at once */
  readonly signal?: AbortSignal;
}

export interface VerifyResult extends VerifyCounts {
  /** false when the deadline came before all was looked at */
  readonly complete: boolean;
}

interface Candidate {
  readonly id: ArchiveId;
  readonly pass: VerifyPass;
  /** its records, as they were a little earlier */
  readonly records?: readonly StoredRecord[];
}

/**
 * Reads files of the archive back and compares them with what was recorded when they came. The archive may be used, and
 * changed, by others meanwhile.
 */
export class ArchiveVerifier {
  readonly #parts: VerifyParts;

  constructor(parts: VerifyParts) {
    this.#parts = parts;
  }

  /**
   * Verifies files by their ids. One that is neither there nor on record is `missing`.
   * @throws what may pass, and the signal's reason
   */
  async ids(ids: readonly ArchiveId[], options: VerifyOptions): Promise<VerifyResult> {
    const work = new Work(this.#parts, options);
    await work.begin();
    const left = function* (): Generator<Candidate> {
      for (const id of ids) {
        if (work.isLate) return;
        yield { id, pass: 'files' };
      }
    };
    let done = 0;
    await work.do(left(), async ({ id }, verdict) => {
      done += 1;
      if (verdict.state === 'absent') work.countUnknown(id);
      else await work.count(id, verdict);
    });
    return { ...work.counts, complete: done === ids.length };
  }

  /**
   * Verifies the files of a selection: those on record, in the order of their ids, and then those that the storage has
   * without a record. It is written down how far it is.
   * @param options.resume go on where the last run of this selection stopped, if it did not come to its end
   * @throws PacificaError `invalid` when the storage can not tell which files it has, `aborted` when another process
   * begins the same; what may pass; the signal's reason
   */
  async selection(
    selection: Selection,
    { resume, ...options }: VerifyOptions & { readonly resume: boolean },
  ): Promise<VerifyResult> {
    const { backend, tables, runs } = this.#parts;
    if (!canList(backend)) {
      throw new PacificaError('invalid', `the storage ${backend.url} can not tell which files it has`, {
        hint: 'name the files',
      });
    }
    await mendRecords(backend, tables);
    let run = await runs.begin(selection.name, { resume });
    // of the start and not of the process: a run that is gone on with makes the same choice
    const chooser = selection.chooser(String(run.started), await runs.recordedBytes(''));
    const left = run.pass === 'records' ? await runs.recordedBytes(run.after) : 0;
    options.onTotal?.(Math.round(left * chooser.share));
    const work = new Work(this.#parts, options, run);
    const candidates = new Candidates({ ...this.#parts, backend }, chooser, work);
    await work.begin();
    let saved = performance.now();
    // a sign of life while a large file is read; and whoever has lost the run to another process stops
    const beat = setInterval(() => {
      runs.save({ ...run, ...work.counts }).catch((error: unknown) => work.stop(error));
    }, BEAT);
    try {
      await work.do(candidates.from(run), async ({ id, pass }, verdict) => {
        if (verdict.state !== 'absent') await work.count(id, verdict);
        run = { ...run, pass, after: pass === 'records' ? id : '' };
        if (performance.now() - saved < SAVE_EVERY) return;
        await runs.save({ ...run, ...work.counts });
        saved = performance.now();
      });
      if (candidates.pass === 'files') run = { ...run, pass: 'files', after: '' };
      if (candidates.complete) {
        run = { ...run, ended: Date.now() };
        if (chooser.share === 1) await runs.forgetDamageBefore(run.started);
      }
    } finally {
      clearInterval(beat);
      await runs.save({ ...run, ...work.counts });
    }
    return { ...work.counts, complete: candidates.complete };
  }
}

/** The files of a selection, one after the other, until the deadline. */
class Candidates {
  /** every one was handed out */
  complete = false;
  /** where it is */
  pass: VerifyPass = 'records';
  readonly #parts: VerifyParts & { readonly backend: StorageBackend & Listing };
  readonly #chooser: Chooser;
  readonly #work: Work;
  /** bytes that may still be chosen */
  #budget: number;

  constructor(parts: VerifyParts & { readonly backend: StorageBackend & Listing }, chooser: Chooser, work: Work) {
    this.#parts = parts;
    this.#chooser = chooser;
    this.#work = work;
    this.#budget = chooser.limit === undefined ? Infinity : chooser.limit - work.counts.bytes;
  }

  async *from({ pass, after }: VerifyRun): AsyncGenerator<Candidate> {
    if (pass === 'records') yield* this.#recorded(after);
    if (this.#work.isLate) return;
    this.pass = 'files';
    yield* this.#unrecorded();
    this.complete = !this.#work.isLate;
  }

  async *#recorded(after: string): AsyncGenerator<Candidate> {
    const { runs, tables, backend } = this.#parts;
    // an archive that is not there at all is told as such, not as the loss of every file
    if (await isThere(backend)) {
      for (let ids = await runs.recordedIds(after, PAGE); ids.length > 0;) {
        const chosen = ids.filter((id) => this.#chooser.has(id));
        const records = await tables.findMany(chosen);
        for (const id of chosen) {
          if (this.#work.isLate) return;
          const known = records.get(id) ?? [];
          if (this.#fits(known.find(({ state }) => state === 'settled')?.size ?? 0)) {
            yield { id, pass: 'records', records: known };
          }
        }
        ids = await runs.recordedIds(ids.at(-1) ?? '', PAGE);
      }
    } else if ((await runs.recordedIds('', 1)).length > 0) {
      throw new PacificaError('not-found', `there are records of files, but there is no storage ${backend.url}`, {
        hint: "mount it, or run this on the archive's own machine with its configuration",
      });
    }
  }

  async *#unrecorded(): AsyncGenerator<Candidate> {
    const { backend } = this.#parts;
    if (!(await isThere(backend))) return;
    let page: ArchiveId[] = [];
    for await (const id of backend.list()) {
      if (this.#work.isLate) return;
      if (this.#chooser.has(id)) page.push(id);
      if (page.length < PAGE) continue;
      yield* this.#withoutRecord(page);
      page = [];
    }
    yield* this.#withoutRecord(page);
  }

  async *#withoutRecord(ids: readonly ArchiveId[]): AsyncGenerator<Candidate> {
    const { tables, backend } = this.#parts;
    const records = await tables.findMany(ids);
    for (const id of ids.filter((one) => !records.has(one))) {
      if (this.#work.isLate) return;
      const size = this.#budget === Infinity ? 0 : (await statusOf(backend, id))?.size;
      if (size !== undefined && this.#fits(size)) yield { id, pass: 'files' };
    }
  }

  #fits(size: number): boolean {
    if (size > this.#budget) return false;
    this.#budget -= size;
    return true;
  }
}

/** Verifies files, counts them, and tells about them. */
class Work {
  readonly #options: VerifyOptions;
  readonly #runs: VerifyRuns;
  readonly #verifier: FileVerifier;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #counts: { -readonly [K in keyof VerifyCounts]: number };
  /** files that were damaged when they were looked at last */
  #damaged: ReadonlySet<ArchiveId> = new Set();

  constructor({ backend, tables, runs }: VerifyParts, options: VerifyOptions, before?: VerifyCounts) {
    this.#options = options;
    this.#runs = runs;
    this.#signal = AbortSignal.any([this.#stop.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const { files = 0, bytes = 0, damaged = 0, unrecorded = 0, adopted = 0 } = before ?? {};
    this.#counts = { files, bytes, damaged, unrecorded, adopted };
    const throttle = options.rate === undefined ? undefined : new Throttle(options.rate);
    this.#verifier = new FileVerifier({
      backend,
      tables,
      adopt: options.adopt,
      signal: this.#signal,
      beforeRead: async (size) => {
        this.#signal.throwIfAborted();
        await throttle?.pass(size, this.#signal);
        this.#counts.bytes += size;
        options.onRead?.(size);
      },
    });
  }

  get counts(): VerifyCounts {
    return { ...this.#counts };
  }

  /** whether no file is to be begun any more */
  get isLate(): boolean {
    return this.#options.deadline !== undefined && performance.now() > this.#options.deadline;
  }

  /** Breaks off what is being read. */
  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  async begin(): Promise<void> {
    this.#damaged = new Set((await this.#runs.knownDamage()).map(({ id }) => id));
  }

  /** @param done is told the verdicts in the order of the files */
  async do(
    candidates: Iterable<Candidate> | AsyncIterable<Candidate>,
    done: (candidate: Candidate, verdict: Verdict) => Promise<void>,
  ): Promise<void> {
    const verify = ({ id, records }: Candidate): Promise<Verdict> => this.#verifier.verify(id, records);
    try {
      for await (const outcome of inOrder(candidates, verify, AT_A_TIME)) {
        if (outcome.error !== undefined) {
          // the others that are being read are not waited for
          this.#stop.abort(outcome.error);
          throw outcome.error;
        }
        await done(outcome.item, outcome.value);
      }
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
  }

  /** A file that somebody asked for, and that the archive knows nothing of. */
  countUnknown(id: ArchiveId): void {
    this.#counts.files += 1;
    this.#counts.damaged += 1;
    this.#options.onFinding({ id, reason: 'missing', path: '', detail: 'there is neither a file nor a record' });
    this.#options.onCounts?.(this.counts);
  }

  async count(id: ArchiveId, verdict: Verdict): Promise<void> {
    this.#counts.files += 1;
    if (verdict.state === 'damaged') {
      this.#counts.damaged += 1;
      await this.#runs.damaged(verdict.damage);
      this.#options.onFinding(verdict.damage);
    } else if (this.#damaged.has(id)) {
      await this.#runs.mended(id);
    }
    if (verdict.state === 'unrecorded') {
      const { path, adopted } = verdict;
      this.#counts.unrecorded += 1;
      if (adopted !== undefined) this.#counts.adopted += 1;
      this.#options.onFinding({ id, reason: 'unrecorded', path, adopted });
    }
    this.#options.onCounts?.(this.counts);
  }
}

/** Puts right what crashes left among the records, so that it is not taken for damage. */
async function mendRecords(backend: StorageBackend, tables: ArchiveFiles): Promise<void> {
  const records = new FileRecords(tables, (error) => {
    throw error;
  });
  await records.mend((id) => statusOf(backend, id));
}

async function statusOf(backend: StorageBackend, id: ArchiveId): Promise<FileStatus | undefined> {
  try {
    return await backend.status(id);
  } catch (error) {
    if (error instanceof PacificaError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** @returns whether the storage is there; before the first file it is not */
async function isThere(backend: Listing): Promise<boolean> {
  try {
    for await (const id of backend.list()) return id !== '';
    return true;
  } catch (error) {
    if (error instanceof PacificaError && error.code === 'not-found') return false;
    throw error;
  }
}

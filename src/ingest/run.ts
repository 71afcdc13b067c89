import type { MetadataEntry } from '../catalog/catalog.js';
import { mayPass, messageOf, PacificaError } from '../lib/errors.js';
import type { JobHandler } from '../lib/job-queue.js';
import { BATCH, type IngestJob } from '../storage/database/ingest-jobs.js';
import { Claim, newRun } from './claim.js';
import { CountedDocument } from './counted-document.js';
import { isAborted, ownError, textOf } from './failure.js';
import { fileId, type FilesStep } from './files.js';
import { filesOf } from './files-of.js';
import { removeLeftovers } from './leftovers.js';
import { BundleMetadata, type NamedFile } from './metadata.js';
import type { IngestParts } from './parts.js';

/**
 * The work of an ingest job, from where it stands to its end. It can be stopped or killed at any point and be called
 * again; what may pass is thrown, with the reason in the job's row, and everything else ends in a job that is FAILED
 * and of which nothing is visible.
 */
export function ingestHandler(parts: IngestParts): JobHandler {
  return async (id, { signal, attempt }) => {
    const run = newRun();
    const job = await parts.store.claim(Number(id), run);
    if (job === undefined) return;
    const log = parts.log.child({ job: job.id });
    const claim = new Claim(parts.store, job.id, run.runId, log, { from: job, stop: signal });
    try {
      await new Run(parts, job, claim).go();
      log.info('ingest job ended');
    } catch (error) {
      await claim.release();
      signal.throwIfAborted();
      if (isAborted(error)) {
        log.warn('the ingest job is in other hands now');
        return;
      }
      log.warn({ err: error, attempt }, 'the ingest job has to wait');
      throw error;
    } finally {
      await claim.stop();
    }
  };
}

class Run {
  readonly #parts: IngestParts;
  readonly #job: IngestJob;
  readonly #claim: Claim;
  readonly #files: FilesStep;

  constructor(parts: IngestParts, job: IngestJob, claim: Claim) {
    this.#parts = parts;
    this.#job = job;
    this.#claim = claim;
    this.#files = filesOf(parts, job, claim);
  }

  async go(): Promise<void> {
    switch (this.#job.phase) {
      case 'queued':
        return this.#toTheEnd(() => this.#fromStart());
      case 'recording':
        return this.#toTheEnd(async () => this.#record(this.#job, await this.#readMetadata()));
      case 'finishing':
        return this.#finish();
      case 'failing':
        return this.#fail(this.#job.exception);
      case 'receiving':
      case 'done':
      case 'failed':
    }
  }

  async #fromStart(): Promise<void> {
    const { catalog } = this.#parts;
    const { user, kind } = this.#job;
    const claim = this.#claim;
    if (kind === 'upload') {
      // that it is a whole tar was seen while it came in
      await claim.task('open tar');
      await claim.task('open tar', 100);
    }

    await claim.task('load metadata');
    const metadata = await this.#readMetadata((part) => claim.percent(50 * part));
    const work = { entries: metadata.count, rounds: 1 };
    const counted = new CountedDocument(
      () => metadata,
      work,
      (part) => claim.percent(50 + 50 * part),
    );
    await catalog.metadata.validate(counted);
    await claim.task('load metadata', 100);

    await claim.task('Policy Validation');
    await catalog.policy.check(metadata, user);
    await claim.task('Policy Validation', 100);

    await claim.task(this.#files.task);
    await this.#files.check(this.#job, metadata);
    const job = await this.#takeIds();
    await this.#files.place(job);
    await claim.task(this.#files.task, 100);

    await claim.update({ phase: 'recording' });
    await this.#record(job, metadata);
  }

  async #readMetadata(onProgress?: (part: number) => void): Promise<BundleMetadata> {
    const { spool } = this.#parts;
    const { signal, jobId } = this.#claim;
    if (!(await spool.has(jobId))) {
      throw new PacificaError('invalid', 'the bundle has no metadata.txt', {
        hint: 'it stands beside the folder data/',
      });
    }
    return BundleMetadata.read(spool.path(jobId), { move: this.#job.kind === 'move', onProgress, signal });
  }

  /** The ids are in the row before the first of them is used: another try uses the same. */
  async #takeIds(): Promise<IngestJob> {
    const job = this.#job;
    if (job.firstFileId !== null || job.members === 0) return job;
    const { start } = await this.#parts.catalog.ids.take('file', job.members);
    await this.#claim.update({ firstFileId: start });
    return { ...job, firstFileId: start };
  }

  async #record(job: IngestJob, metadata: BundleMetadata): Promise<void> {
    await this.#claim.task('ingest metadata');
    // twice: to be checked or measured, and to be stored or sent
    const work = { entries: metadata.count, rounds: 2 };
    const document = new CountedDocument(
      () => this.#withIds(job, metadata),
      work,
      (part) => this.#claim.percent(100 * part),
    );
    await this.#parts.catalog.metadata.ingest(document, job.user);
  }

  /** wire.md, ingest part: every file gains its `_id`, the whole the transaction's. */
  async *#withIds(job: IngestJob, metadata: BundleMetadata): AsyncGenerator<MetadataEntry> {
    let files: NamedFile[] = [];
    for await (const { entry, file } of metadata.named()) {
      if (file !== undefined) {
        files.push(file);
        if (files.length < BATCH) continue;
        yield* await this.#filesWithIds(job, files);
        files = [];
      } else if (entry.destinationTable !== 'Transactions._id') {
        // that one is ours to give, whatever the uploader says
        yield entry;
      }
    }
    yield* await this.#filesWithIds(job, files);
    yield { destinationTable: 'Transactions._id', value: job.id };
  }

  async #filesWithIds(job: IngestJob, files: readonly NamedFile[]): Promise<MetadataEntry[]> {
    const paths = files.map(({ path }) => path);
    const members = new Map(
      (await this.#parts.store.membersByPath(job.id, paths)).map((member) => [member.path, member]),
    );
    return files.map(({ entry, path }) => {
      const member = members.get(path);
      if (member === undefined) throw new PacificaError('internal', `ingest job ${job.id} has lost ${path}`);
      return { ...entry, _id: fileId(job, member) };
    });
  }

  /** All is safe: only now are the ways in removed, and only then is it said that it is done. */
  async #finish(): Promise<void> {
    const { jobId, runId } = this.#claim;
    await this.#claim.update({ phase: 'finishing', kept: false });
    await removeLeftovers(this.#parts, jobId, runId);
    await this.#claim.end({ phase: 'done', taskPercent: 100, complete: true });
  }

  /** Once the metadata is recorded nothing is taken back any more: what goes wrong then is tried again. */
  async #toTheEnd(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#claim.signal.aborted || isAborted(error)) throw error;
      if (mayPass(error)) {
        await this.#claim.update({ exception: `waiting: ${messageOf(error)}` });
        throw error;
      }
      if (ownError(error).code === 'internal')
        this.#parts.log.error({ job: this.#job.id, err: error }, 'ingest failed');
      return this.#fail(textOf(error));
    }
    await this.#finish();
  }

  /**
   * That it fails is in the row before the first file is taken back: from then on no run goes on towards the good end,
   * whatever the one does that was believed dead.
   */
  async #fail(reason: string): Promise<void> {
    const { jobId, runId } = this.#claim;
    await this.#claim.update({ phase: 'failing', exception: reason });
    const job = (await this.#parts.store.find(jobId)) ?? this.#job;
    const left = await this.#files.undo(job);
    if (!job.kept) await removeLeftovers(this.#parts, jobId, runId);
    const exception = left === '' ? reason : `${reason}\n${left}`;
    await this.#claim.end({ phase: 'failed', state: 'FAILED', exception, complete: true });
  }
}

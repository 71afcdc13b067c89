import { PacificaError } from '../lib/errors.js';
import type { HashType } from '../lib/digest.js';
import { readTar, type TarMember } from '../lib/tar/reader.js';
import { BATCH, type IngestJob, type NewMember } from '../storage/database/ingest-jobs.js';
import { Body } from './body.js';
import { Claim } from './claim.js';
import { DraftWriter } from './draft-writer.js';
import { isAborted, ownError, textOf } from './failure.js';
import { removeLeftovers } from './leftovers.js';
import { isDataPath, limitPath, memberPath, METADATA_MEMBER } from './member-path.js';
import { usualHashType } from './metadata.js';
import { enqueue, openJob } from './open-job.js';
import { groupOf, type IngestParts } from './parts.js';
import { tooMany } from './too-many.js';

export interface Upload {
  readonly user: string;
  /** announced length of the body in bytes */
  readonly length?: number;
  /** Idempotency-Key */
  readonly key?: string;
}

/** What became of an upload. */
export interface Reception {
  readonly job: IngestJob;
  /** why the bundle was not taken; the job is FAILED then */
  readonly error: PacificaError | undefined;
  /** the job of an earlier request with the same key; the body was not touched */
  readonly replayed: boolean;
}

/** characters of a faulty member's name that are kept to be told */
const SHOWN_PATH = 1000;

/**
 * Takes in a bundle in one pass: its files go straight into drafts of the archive, hashed on the way; its metadata is
 * kept aside. When this resolves without an error, all of it is on stable storage and the job waits for its work.
 * A bundle that is no whole tar ends in a job that is FAILED, with nothing left of it.
 * @throws PacificaError `unavailable` when no job id can be had; the body is not touched then
 */
export async function receive(
  parts: IngestParts,
  source: AsyncIterable<Uint8Array>,
  { user, length, key }: Upload,
): Promise<Reception> {
  const { store, settings, log } = parts;
  const claim = await openJob(parts, { kind: 'upload', user, key });
  if (!(claim instanceof Claim)) return { job: claim, error: undefined, replayed: true };
  const { jobId } = claim;
  const body = new Body(source, {
    length,
    limit: settings.bundleLimit,
    onPercent: (percent) => claim.percent(percent),
    onBytes: () => claim.moves(),
    signal: claim.signal,
  });
  let failure: PacificaError | undefined;
  try {
    const totals = await new Receiver(parts, claim).take(body);
    await claim.end({ ...totals, phase: 'queued', taskPercent: 100, kept: true });
  } catch (error) {
    failure = await giveUp(parts, claim, error);
    await body.drain();
  }
  log.info({ job: jobId, bytes: body.bytes, failed: failure?.message }, 'bundle received');
  if (failure === undefined) await enqueue(parts, jobId);
  const job = await store.find(jobId);
  if (job === undefined) throw new PacificaError('internal', `ingest job ${jobId} is gone`);
  return { job, error: failure, replayed: false };
}

/** Ends a job whose bundle did not come in. @returns why */
async function giveUp(parts: IngestParts, claim: Claim, error: unknown): Promise<PacificaError> {
  const { log } = parts;
  const { jobId, runId } = claim;
  const failure = ownError(error);
  if (failure.code === 'internal') log.error({ job: jobId, err: error }, 'can not take a bundle in');
  try {
    await claim.update({
      ...(failure.code === 'invalid' && { task: 'open tar', taskPercent: 0 }),
      phase: 'failed',
      state: 'FAILED',
      exception: textOf(failure),
      complete: true,
    });
    await removeLeftovers(parts, jobId, runId);
  } catch (fault) {
    if (isAborted(fault)) log.warn({ job: jobId }, 'the ingest job was ended while its bundle came in');
    // the sweep finds it
    else log.error({ job: jobId, err: fault }, 'can not end a job whose bundle did not come in');
  } finally {
    await claim.stop();
  }
  return failure;
}

/** Takes one bundle in. */
class Receiver {
  readonly #parts: IngestParts;
  readonly #claim: Claim;
  readonly #writer: DraftWriter;
  #hashtype: HashType;
  #hasMetadata = false;
  #position = 0;
  #bytes = 0;
  #faulty: NewMember[] = [];
  /** the members that are being put on record */
  #recorded: Promise<void> = Promise.resolve();

  constructor(parts: IngestParts, claim: Claim) {
    this.#parts = parts;
    this.#claim = claim;
    this.#writer = new DraftWriter(parts.archive.drafts, groupOf(claim.jobId));
    this.#hashtype = parts.settings.defaultHash;
  }

  async take(body: Body): Promise<{ members: number; bytes: number }> {
    try {
      for await (const member of readTar(body)) {
        await this.#takeMember(member);
        if (this.#writer.storedCount + this.#faulty.length < BATCH) continue;
        // more comes in meanwhile
        await this.#recorded;
        this.#recorded = this.#record();
        this.#recorded.catch(() => undefined);
      }
      await this.#writer.finish();
      await this.#recorded;
      await this.#record();
      return { members: this.#position, bytes: this.#bytes };
    } finally {
      await this.#writer.settle();
      await this.#recorded.catch(() => undefined);
    }
  }

  async #takeMember(member: TarMember): Promise<void> {
    let path: string;
    try {
      path = memberPath(member.path);
      limitPath(path, this.#parts.settings.pathLimit);
    } catch (error) {
      this.#refuse(member, textOf(error));
      return;
    }
    if (member.type === 'directory') return;
    if (member.type !== 'file') this.#refuse(member, `is a ${member.type}`);
    else if (path === METADATA_MEMBER) await this.#takeMetadata(member);
    else if (isDataPath(path)) await this.#takeFile(member, path);
    else this.#refuse(member, 'is not below data/, where metadata could name it');
  }

  async #takeFile(member: TarMember, path: string): Promise<void> {
    this.#bytes += member.size;
    await this.#writer.add(member, { position: this.#next(), path }, this.#hashtype);
  }

  async #takeMetadata(member: TarMember): Promise<void> {
    if (this.#hasMetadata) {
      this.#refuse(member, 'is there twice');
      return;
    }
    const { spool, settings } = this.#parts;
    const { jobId } = this.#claim;
    await spool.write(jobId, member.body, settings.metadataLimit);
    this.#hasMetadata = true;
    if (this.#position === 0) this.#hashtype = (await usualHashType(spool.path(jobId))) ?? this.#hashtype;
  }

  #refuse(member: TarMember, problem: string): void {
    const { mtimeMs: mtime } = member;
    // neither NUL nor half of a surrogate pair is a character that PostgreSQL stores
    const path = Buffer.from(member.path.slice(0, SHOWN_PATH)).toString().replaceAll('\0', '\uFFFD');
    this.#faulty.push({ position: this.#next(), path, size: 0, mtime, problem: problem.replaceAll('\0', '\uFFFD') });
  }

  #next(): number {
    const { memberLimit } = this.#parts.settings;
    if (memberLimit > 0 && this.#position >= memberLimit) throw tooMany(memberLimit);
    this.#position += 1;
    return this.#position - 1;
  }

  async #record(): Promise<void> {
    const members = [...this.#writer.takeStored(), ...this.#faulty];
    this.#faulty = [];
    const { jobId, runId } = this.#claim;
    for (let start = 0; start < members.length; start += BATCH) {
      await this.#parts.store.addMembers(jobId, runId, members.slice(start, start + BATCH));
    }
  }
}

import { parseArchiveId } from '../lib/archive-id.js';
import type { Checksum } from '../lib/checksum.js';
import { hashReader, parseHashType } from '../lib/digest.js';
import { PacificaError } from '../lib/errors.js';
import { BATCH, type IngestJob, type IngestMember } from '../storage/database/ingest-jobs.js';
import { checkFiles } from './check-files.js';
import type { Claim } from './claim.js';
import { draftName } from './draft-writer.js';
import { eachMember, fileId, type FilesStep, withFreeId } from './files.js';
import type { BundleMetadata, NamedFile } from './metadata.js';
import { Meter } from './meter.js';
import { groupOf, type IngestParts } from './parts.js';
import type { Problems } from '../lib/problems.js';

/** files that are published at a time: their records share a transaction, their names a sync of the folder */
const PARALLEL = BATCH;
/** percent of the task when the files are checked */
const CHECKED = 50;

/** The files of an upload: they lie in drafts of the archive. */
export class UploadFiles implements FilesStep {
  readonly task = 'ingest files';
  readonly #parts: IngestParts;
  readonly #claim: Claim;
  readonly #group: string;

  constructor(parts: IngestParts, claim: Claim) {
    this.#parts = parts;
    this.#claim = claim;
    this.#group = groupOf(claim.jobId);
  }

  async check(job: IngestJob, metadata: BundleMetadata): Promise<void> {
    const meter = new Meter(this.#claim, [0, CHECKED], { files: metadata.fileCount, bytes: job.bytes });
    await checkFiles(this.#parts, this.#claim, metadata, (file, member, problems) =>
      this.#compare(file, member, problems, meter),
    );
  }

  async #compare(
    file: NamedFile,
    member: IngestMember,
    problems: Problems,
    meter: Meter,
  ): Promise<IngestMember | undefined> {
    if (file.size !== member.size) {
      problems.add(`${file.path}: the metadata says ${file.size} bytes, the bundle has ${member.size}`);
      return undefined;
    }
    const isHashed = member.hashtype === file.hashtype;
    const hashsum = isHashed ? member.hashsum : await this.#hashAgain(file, member, meter);
    meter.file(isHashed ? member.size : 0);
    if (hashsum !== file.hashsum) {
      problems.add(
        `${file.path}: the metadata says ${file.hashtype} ${file.hashsum}, the bundle has ${String(hashsum)}`,
      );
    }
    return isHashed ? undefined : { ...member, hashtype: file.hashtype, hashsum };
  }

  /** The file was hashed by another algorithm while it came in: reads it once more. */
  async #hashAgain({ hashtype }: NamedFile, { position }: IngestMember, meter: Meter): Promise<string> {
    const reader = await this.#parts.archive.drafts.open(this.#group, draftName(position));
    try {
      return await hashReader(meter.reader(reader), hashtype, { signal: this.#claim.signal });
    } finally {
      await reader.close();
    }
  }

  async place(job: IngestJob): Promise<void> {
    const { drafts } = this.#parts.archive;
    const { signal } = this.#claim;
    const meter = new Meter(this.#claim, [CHECKED, 100], { files: job.members, bytes: job.bytes });
    await eachMember(this.#parts, this.#claim, PARALLEL, async (member) => {
      const checksum = checksumOf(member);
      await meter.transfer(member.size, (onBytes) =>
        withFreeId(this.#parts, this.#claim, job, member, (id) =>
          drafts.publish(this.#group, draftName(member.position), id, { checksum, signal, onBytes }),
        ),
      );
    });
  }

  async undo(job: IngestJob): Promise<string> {
    if (job.firstFileId === null) return '';
    const { archive, log } = this.#parts;
    await eachMember(this.#parts, this.#claim, PARALLEL, async (member) => {
      const id = parseArchiveId(fileId(job, member));
      try {
        await archive.drafts.unpublish(this.#group, draftName(member.position), id);
      } catch (error) {
        if (!(error instanceof PacificaError) || error.code !== 'not-found') throw error;
        // without its draft nobody can tell whether the file of that id is ours
        log.error({ job: job.id, file: id, err: error }, 'can not take back a file whose draft is gone');
      }
    });
    return '';
  }
}

/** @returns the hash that was compared with the metadata's: the archive keeps it on record */
function checksumOf({ path, hashtype, hashsum }: IngestMember): Checksum {
  if (hashtype === null || hashsum === null) throw new PacificaError('internal', `${path} was never hashed`);
  return { type: parseHashType(hashtype), sum: hashsum };
}

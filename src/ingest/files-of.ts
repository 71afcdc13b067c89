import type { IngestJob } from '../storage/database/ingest-jobs.js';
import type { Claim } from './claim.js';
import type { FilesStep } from './files.js';
import { MoveFiles } from './move-files.js';
import type { IngestParts } from './parts.js';
import { UploadFiles } from './upload-files.js';

/** @returns what is done with the files of a job of this kind */
export function filesOf(parts: IngestParts, job: IngestJob, claim: Claim): FilesStep {
  return job.kind === 'move' ? new MoveFiles(parts, claim) : new UploadFiles(parts, claim);
}

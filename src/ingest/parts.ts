import type { Logger } from 'pino';
import type { Archive } from '../archive/archive.js';
import type { Catalog } from '../catalog/catalog.js';
import type { HashType } from '../lib/digest.js';
import type { JobQueue } from '../lib/job-queue.js';
import type { IngestJobs } from '../storage/database/ingest-jobs.js';
import type { MetadataSpool } from './spool.js';

export interface IngestSettings {
  /** hash taken of members that come before metadata.txt */
  readonly defaultHash: HashType;
  /** largest metadata.txt, or body of a move, in bytes */
  readonly metadataLimit: number;
  /** largest bundle in bytes; 0 is no limit */
  readonly bundleLimit: number;
  /** most files of one bundle; 0 is no limit */
  readonly memberLimit: number;
  /** ms that the data of a failed job is kept for another try */
  readonly keepFailed: number;
  /** longest path of a member in bytes; 0 is no limit but that of the file system */
  readonly pathLimit: number;
  /** ms without progress after which a job is told to be stuck */
  readonly stuckAfter: number;
}

/** What ingest works with. */
export interface IngestParts {
  readonly store: IngestJobs;
  readonly archive: Archive;
  readonly catalog: Catalog;
  readonly queue: JobQueue;
  readonly spool: MetadataSpool;
  /** jobs that may be on no queue; the next sweep of this process asks the queue about them */
  readonly unsure: Set<number>;
  readonly settings: IngestSettings;
  readonly log: Logger;
}

/** Name of the drafts of a job in the archive. */
export function groupOf(jobId: number): string {
  return `ingest-${jobId}`;
}

/** @returns the job that a group of drafts belongs to; undefined when it is none of ours */
export function jobOfGroup(group: string): number | undefined {
  const match = /^ingest-([0-9]{1,16})$/.exec(group);
  return match === null ? undefined : Number(match[1]);
}

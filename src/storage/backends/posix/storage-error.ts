import { PacificaError, systemCode, wrapSystemError } from '../../../lib/errors.js';

/** Makes a PacificaError of what the file system threw, with a hint where a person can mend it. */
export function storageError(error: unknown, doing: string): PacificaError {
  if (error instanceof PacificaError) return error;
  const wrapped = wrapSystemError(error, doing);
  const hint = HINTS[systemCode(error) ?? ''];
  return hint === undefined ? wrapped : new PacificaError(wrapped.code, wrapped.message, { hint, cause: error });
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'the user that the archive runs as must own its folder and may write it',
  EPERM: 'the user that the archive runs as must own its folder and may write it',
  EROFS: 'the file system is mounted read-only',
  ENOSPC: 'free space on the file system of the archive, or move it to a larger one',
  EDQUOT: 'the quota of the user that the archive runs as is used up',
  EFBIG: 'the file system can not hold a file of this size',
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENFILE: 'the machine has too many open files',
  EXDEV: 'all of the archive below its root must be one file system',
  EIO: 'the disk reports an error: look at the log of the machine',
};

import { databaseFull, mayPass, messageOf, PacificaError } from '../lib/errors.js';

/** @returns the error itself when it is one of ours; else one that says nothing of our insides, the cause being for the log */
export function ownError(error: unknown): PacificaError {
  if (error instanceof PacificaError) return error;
  const full = databaseFull(error);
  if (full !== undefined) return full;
  if (mayPass(error)) return new PacificaError('unavailable', messageOf(error), { cause: error });
  return new PacificaError('internal', 'the server met an error of its own; its log says which', { cause: error });
}

/** @returns what a job's `exception` says of an error */
export function textOf(error: unknown): string {
  const { message, hint } = ownError(error);
  return hint === undefined ? message : `${message} (${hint})`;
}

/** @returns whether the work was told to stop, by the process or by another run that has the job now */
export function isAborted(error: unknown): boolean {
  return error instanceof PacificaError
    ? error.code === 'aborted'
    : error instanceof Error && error.name === 'AbortError';
}

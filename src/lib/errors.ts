/**
 * What went wrong, for programs. HTTP statuses (daemon/errors.ts) and exit codes (cli/exit-codes.ts) are made of it.
 *
 * - `invalid`: the caller's input is wrong; the same call will never pass
 * - `not-found`: the thing named is not there
 * - `exists`: it is there already and must not be replaced
 * - `forbidden`: a rule of the site refuses it (policy, move roots, write-once)
 * - `precondition`: a condition of the caller (If-Match, ...) does not hold
 * - `too-large`: beyond a limit that the site has set
 * - `range`: the byte range lies outside of the file
 * - `not-ready`: it is being made; ask again later
 * - `integrity`: bytes do not match their digest or length
 * - `no-space`: the volume is full
 * - `unavailable`: a service or database can not be reached or is busy; try again later
 * - `bad-gateway`: a service behind us answered something that we can not use
 * - `timeout`: a service behind us did not answer in time
 * - `aborted`: the other side hung up, or we were told to stop
 * - `internal`: our own fault
 */
export type ErrorCode =
  | 'invalid'
  | 'not-found'
  | 'exists'
  | 'forbidden'
  | 'precondition'
  | 'too-large'
  | 'range'
  | 'not-ready'
  | 'integrity'
  | 'no-space'
  | 'unavailable'
  | 'bad-gateway'
  | 'timeout'
  | 'aborted'
  | 'internal';

export interface PacificaErrorOptions {
  /** what the person can do about it, one sentence */
  hint?: string;
  cause?: unknown;
}

/** Every error that we throw on purpose. Its message is written for the person who meets it. */
export class PacificaError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: PacificaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PacificaError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** Codes of failures that may pass when the same thing is tried again later. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['unavailable', 'bad-gateway', 'timeout', 'not-ready']);

/** System errors that may pass (errno names). */
const PASSING_SYSTEM: ReadonlySet<string> = new Set([
  'EAGAIN',
  'EBUSY',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETUNREACH',
  'ENFILE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ESTALE',
  'ETIMEDOUT',
]);

/**
 * Databases that are away, starting, stopping, overloaded, or that let another transaction go first: SQLSTATE classes
 * and conditions of PostgreSQL (its appendix "Error Codes"), result codes of SQLite.
 */
const PASSING_DATABASE = /^(08...|57P0[123]|53[023]00|40001|40P01|55P03|SQLITE_BUSY|SQLITE_LOCKED)$/;

/** Sequelize's errors of a connection that can not be had, and the driver's of one that breaks; none has a code. */
const PASSING_CONNECTION = /^SequelizeConnection|^SequelizeTimeoutError$|^Connection terminated/;

/** @returns the errno name or library code of an error (`ENOENT`, ...), undefined when it has none */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** @returns whether trying again later may help: true for dead services and busy resources, false for wrong input */
export function mayPass(error: unknown): boolean {
  if (error instanceof PacificaError) return PASSING.has(error.code);
  const code = systemCode(error);
  if (code !== undefined && (PASSING_SYSTEM.has(code) || PASSING_DATABASE.test(code))) return true;
  if (!(error instanceof Error)) return false;
  if (PASSING_CONNECTION.test(error.name) || PASSING_CONNECTION.test(error.message)) return true;
  // Sequelize's wrapper around the driver's error
  return 'parent' in error && error.parent !== error && mayPass(error.parent);
}

/** @returns a one-line text for any thrown value */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0)
    return messageOf(error.errors[0]);
  if (error instanceof Error) return error.message === '' ? error.name : error.message;
  return String(error);
}

/** Full disk, quota, or file too large for the file system (errno names). */
const NO_SPACE: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Turns a system error into a {@link PacificaError} that names what was being done; ours pass through unchanged. */
export function wrapSystemError(error: unknown, doing: string): PacificaError {
  if (error instanceof PacificaError) return error;
  const code = systemCode(error);
  const text = `${doing}: ${messageOf(error)}`;
  if (code !== undefined && NO_SPACE.has(code)) {
    return new PacificaError('no-space', text, { hint: 'free space there, or raise the quota', cause: error });
  }
  if (code === 'ENOENT') return new PacificaError('not-found', text, { cause: error });
  if (mayPass(error)) return new PacificaError('unavailable', text, { cause: error });
  return new PacificaError('internal', text, { cause: error });
}

/** SQLite's result code for a full disk, PostgreSQL's condition disk_full */
const FULL_DATABASE: ReadonlySet<string> = new Set(['SQLITE_FULL', '53100']);

/** @returns what a database without room for more says, for people; undefined for every other error */
export function databaseFull(error: unknown): PacificaError | undefined {
  const cause = error instanceof Error && 'parent' in error ? error.parent : error;
  if (!FULL_DATABASE.has(systemCode(cause) ?? '')) return undefined;
  return new PacificaError('no-space', `the database has no room for more: ${messageOf(cause)}`, {
    hint: 'free space on the file system of the database',
    cause: error,
  });
}

import { STATUS_CODES } from 'node:http';
import { databaseFull, type ErrorCode, mayPass, messageOf, PacificaError } from '../lib/errors.js';

const STATUS: Record<ErrorCode, number> = {
  invalid: 400,
  'not-found': 404,
  exists: 409,
  forbidden: 403,
  precondition: 412,
  'too-large': 413,
  range: 416,
  'not-ready': 503,
  integrity: 400,
  'no-space': 507,
  unavailable: 503,
  'bad-gateway': 502,
  timeout: 504,
  aborted: 400,
  internal: 500,
};

/** An answer that is no 2xx, for routes that know the status better than the error's code does. */
export class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
  }
}

/** @returns the HTTP status that an error is answered with */
export function statusOf(error: unknown): number {
  if (error instanceof HttpError) return error.status;
  if (error instanceof PacificaError) return STATUS[error.code];
  return databaseFull(error) !== undefined ? STATUS['no-space'] : mayPass(error) ? 503 : 500;
}

/** The error body of all services (wire.md). `traceback` is a stack only when the server runs with debug on. */
export interface ErrorBody {
  status: string;
  message: string;
  traceback: string;
  version: string;
}

/**
 * @param thrown the text of an unexpected one stays in the log, strangers do not see our paths
 * @param debug put the stack into `traceback`
 */
export function errorBody(thrown: unknown, version: string, debug: boolean): ErrorBody {
  const error = databaseFull(thrown) ?? thrown;
  const status = statusOf(error);
  const known = error instanceof PacificaError ? error.code !== 'internal' : error instanceof HttpError;
  const hint = error instanceof PacificaError && error.hint !== undefined ? ` (${error.hint})` : '';
  return {
    status: `${status} ${STATUS_CODES[status] ?? 'Error'}`,
    message: known ? `${messageOf(error)}${hint}` : 'The server met an error of its own; its log says which.',
    traceback: debug && error instanceof Error ? (error.stack ?? '') : '',
    version,
  };
}

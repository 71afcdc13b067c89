import { BaseError, ConnectionAcquireTimeoutError, ConnectionError, TimeoutError } from 'sequelize';
import { messageOf, PacificaError, systemCode } from '../../lib/errors.js';

/**
 * Codes of failures that pass by themselves. SQLite: another process holds the lock. PostgreSQL: deadlock, serialization
 * failure, too many connections, shutting down or starting, connection lost.
 */
const PASSING: ReadonlySet<string> = new Set([
  'SQLITE_BUSY',
  'SQLITE_LOCKED',
  '40001',
  '40P01',
  '53300',
  '57P01',
  '57P02',
  '57P03',
  '08000',
  '08003',
  '08006',
  'ECONNRESET',
  'EPIPE',
]);

/** The same for a full disk. */
const FULL: ReadonlySet<string> = new Set(['SQLITE_FULL', '53100']);

/** Runs database work; what the driver throws and may pass becomes `unavailable`, a full disk `no-space`. */
export async function databaseWork<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translated(error);
  }
}

function translated(error: unknown): unknown {
  if (!(error instanceof BaseError)) return error;
  const parent = 'parent' in error ? error.parent : undefined;
  const code = systemCode(parent) ?? '';
  if (FULL.has(code)) return new PacificaError('no-space', 'the disk of the database is full', { cause: error });
  const passing =
    PASSING.has(code) ||
    error instanceof ConnectionError ||
    error instanceof ConnectionAcquireTimeoutError ||
    error instanceof TimeoutError;
  if (!passing) return error;
  return new PacificaError('unavailable', `the database does not answer now: ${messageOf(error)}`, { cause: error });
}

import { PacificaError } from '../lib/errors.js';

/** The error of a bundle, or a move, of more files than are taken. */
export function tooMany(limit: number): PacificaError {
  return new PacificaError('too-large', `the bundle has more than the ${limit} files that are taken`, {
    hint: 'send it in several bundles, or raise [ingest] member_limit',
  });
}

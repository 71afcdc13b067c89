import { PacificaError } from '../lib/errors.js';

/** @throws PacificaError `invalid` for what is not the number of a job */
export function parseJobId(text: string): number {
  const id = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(id)) return id;
  throw new PacificaError('invalid', `${JSON.stringify(text)} is not the number of a job`);
}

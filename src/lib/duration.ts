import { PacificaError } from './errors.js';

/** ms a unit */
const UNITS: ReadonlyMap<string, number> = new Map([
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/**
 * Reads a time span: `90s`, `5m`, `2h`, `1.5d`.
 * @returns ms
 * @throws PacificaError `invalid`
 */
export function parseDuration(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([smhd])$/.exec(text.trim());
  const unit = UNITS.get(match?.[2] ?? '');
  if (match === null || unit === undefined) {
    throw new PacificaError('invalid', `"${text}" is not a time span`, { hint: 'write it like 90s, 5m, 2h or 1d' });
  }
  return Math.round(Number(match[1]) * unit);
}

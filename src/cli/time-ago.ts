import { PacificaError } from '../lib/errors.js';

/** ms a unit */
const UNITS: Readonly<Record<string, number>> = {
  second: 1000,
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
  week: 7 * 86_400_000,
};

/**
 * Reads an age as `60 days ago`, `1.5 weeks ago`, `36 hours`: seconds to weeks, with fractions.
 * @returns ms
 * @throws PacificaError `invalid`
 */
export function parseTimeAgo(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?|\.[0-9]+) *(second|minute|hour|day|week)s?( +ago)?$/i.exec(text.trim());
  const unit = UNITS[match?.[2]?.toLowerCase() ?? ''];
  if (match === null || unit === undefined) {
    throw new PacificaError('invalid', `${JSON.stringify(text)} is no age`, {
      hint: 'write it like "60 days ago": seconds, minutes, hours, days or weeks, with fractions',
    });
  }
  return Number(match[1]) * unit;
}

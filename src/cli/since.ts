import { parseDuration } from '../lib/duration.js';
import { PacificaError } from '../lib/errors.js';

const ISO = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?$/;

/**
 * Reads a point in time as people write it: a day or time of ISO 8601 (UTC unless it names a zone), or an age like `36h`
 * or `7 days ago`.
 * @returns ms since 1970
 * @throws PacificaError `invalid`
 */
export function parseSince(text: string, now = Date.now()): number {
  const iso = ISO.exec(text);
  const time = iso === null ? NaN : Date.parse(text.length > 10 && iso[1] === undefined ? `${text}Z` : text);
  if (!Number.isNaN(time)) return time;
  try {
    return now - parseDuration(text);
  } catch (error) {
    throw new PacificaError('invalid', `${JSON.stringify(text)} is no time`, {
      hint: 'write it like 2026-11-29, 2026-11-29T14:09, or 36h for 36 hours ago',
      cause: error,
    });
  }
}

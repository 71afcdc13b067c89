import { PacificaError } from '../lib/errors.js';

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

/**
 * Reads a point in time as people write it: a day or time of ISO 8601 (UTC unless it names a zone), or an age like `90m`,
 * `36h`, `7d`, `2w`.
 * @returns ms since 1970
 * @throws PacificaError `invalid`
 */
export function parseSince(text: string, now = Date.now()): number {
  const age = /^([0-9]{1,6})([mhdw])$/.exec(text);
  if (age !== null) return now - Number(age[1]) * (UNITS[age[2] ?? ''] ?? 0);
  const iso = /^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?$/.exec(
    text,
  );
  const time = iso === null ? NaN : Date.parse(text.length > 10 && iso[1] === undefined ? `${text}Z` : text);
  if (!Number.isNaN(time)) return time;
  throw new PacificaError('invalid', `${JSON.stringify(text)} is no time`, {
    hint: 'write it like 2026-11-29, 2026-11-29T14:09, or 36h for 36 hours ago (m, h, d, w)',
  });
}

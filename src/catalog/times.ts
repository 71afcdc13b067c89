import { parseHttpDate } from '../lib/http-date.js';

const ISO =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)? ?(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$/i;
/** what `date` and Java write: ctime with the name of a zone before the year (wire.md, ingest part) */
const WITH_ZONE = /^([A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d{2}:\d{2}:\d{2}) ([A-Z]{1,5}|[+-]\d{4}) (\d{4})$/;

/** hours east of UTC: the names of RFC 5322, 4.3, and Europe's. The time of any other name is taken as it stands, as the originals do. */
const ZONES: Readonly<Record<string, number>> = {
  EST: -5,
  EDT: -4,
  CST: -6,
  CDT: -5,
  MST: -7,
  MDT: -6,
  PST: -8,
  PDT: -7,
  WEST: 1,
  CET: 1,
  CEST: 2,
  EET: 2,
  EEST: 3,
};
const HOUR = 3_600_000;
/** ms: the years that ISO 8601 writes with four digits */
const FIRST = Date.parse('0001-01-01');
const LAST = Date.UTC(10_000, 0);

/** @param ms since 1970 @returns ISO 8601 without zone, UTC, whole seconds: the form of the originals */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19);
}

/**
 * Brings a time of the metadata to the form that the originals answer with: ISO 8601 without zone, UTC, microseconds
 * only when there are any.
 * @param value ISO 8601 with or without zone (UTC then), C's ctime form with or without the name of a zone, an HTTP
 * date, or seconds since 1970
 * @returns undefined when it is none of them, or no day of the calendar
 */
export function normalizeTime(value: unknown): string | undefined {
  if (typeof value === 'number') return fromMs(value * 1000, undefined);
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  // most are in the form already
  if (text.length === 19 && text.charAt(10) === 'T' && isCanonical(text)) return text;
  const iso = ISO.exec(text);
  if (iso !== null) return fromIso(iso);
  const zoned = WITH_ZONE.exec(text);
  if (zoned === null) return fromMs(parseHttpDate(text), undefined);
  const ms = parseHttpDate(`${zoned[1] ?? ''} ${zoned[3] ?? ''}`);
  return fromMs(ms === undefined ? undefined : ms - offset(zoned[2]), undefined);
}

/** `2016-11-29T14:09:05`, of a day that every month has */
const PLAIN = /^(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d$/;

function isCanonical(text: string): boolean {
  if (PLAIN.test(text)) return true;
  const ms = Date.parse(`${text}Z`);
  return ms >= FIRST && ms < LAST && formatTime(ms) === text;
}

function fromIso([, day = '', clock = '00:00', seconds = '00', fraction, zone]: RegExpExecArray): string | undefined {
  const ms = Date.parse(`${day}T${clock}:${seconds}Z`);
  // Date.parse takes 30 February for 1 March
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(day)) return undefined;
  return fromMs(ms - offset(zone), fraction);
}

function fromMs(ms: number | undefined, fraction: string | undefined): string | undefined {
  if (ms === undefined || !(ms >= FIRST && ms < LAST)) return undefined;
  const micros = (fraction ?? '').slice(0, 6).padEnd(6, '0');
  return micros === '000000' ? formatTime(ms) : `${formatTime(ms)}.${micros}`;
}

/** @returns ms east of UTC */
function offset(zone: string | undefined): number {
  const numeric = /^([+-])(\d{2}):?(\d{2})?$/.exec(zone ?? '');
  if (numeric === null) return (ZONES[zone ?? ''] ?? 0) * HOUR;
  const ms = (Number(numeric[2]) + Number(numeric[3] ?? 0) / 60) * HOUR;
  return numeric[1] === '-' ? -ms : ms;
}

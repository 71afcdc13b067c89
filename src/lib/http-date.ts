import { PacificaError } from './errors.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TIME = '([0-9]{2}):([0-9]{2}):([0-9]{2})';

/** The three forms of RFC 9110, 5.6.7; the third one is also what C's ctime() writes (wire.md, archive part). All are UTC. */
const IMF_FIXDATE = new RegExp(`^[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ${TIME} (?:GMT|UTC|[+-]0000)$`);
const RFC850_DATE = new RegExp(`^[A-Z][a-z]{5,8}, ([0-9]{2})-([A-Z][a-z]{2})-([0-9]{2}) ${TIME} GMT$`);
const ASCTIME_DATE = new RegExp(`^[A-Z][a-z]{2} ([A-Z][a-z]{2}) +([0-9]{1,2}) ${TIME} ([0-9]{4})$`);

/**
 * Reads the date of an HTTP header.
 * @returns ms since 1970, undefined when it is none of the three forms or no day of the calendar
 */
export function parseHttpDate(text: string): number | undefined {
  const imf = IMF_FIXDATE.exec(text);
  if (imf !== null) return utc(imf[3], imf[2], imf[1], imf.slice(4));
  const asctime = ASCTIME_DATE.exec(text);
  if (asctime !== null) return utc(asctime[6], asctime[1], asctime[2], asctime.slice(3, 6));
  const rfc850 = RFC850_DATE.exec(text);
  if (rfc850 !== null) return utc(fullYear(Number(rfc850[3])), rfc850[2], rfc850[1], rfc850.slice(4));
  return undefined;
}

/** RFC 9110, 5.6.7: a year that seems more than 50 years in the future is the most recent past one with the same digits. */
function fullYear(digits: number): number {
  const now = new Date().getUTCFullYear();
  const year = now - (now % 100) + digits;
  return year > now + 50 ? year - 100 : year;
}

function utc(
  year: string | number | undefined,
  month: string | undefined,
  day: string | undefined,
  time: readonly string[],
): number | undefined {
  const [hours, minutes, seconds] = time.map(Number);
  const monthIndex = MONTHS.indexOf(month ?? '');
  if (hours === undefined || minutes === undefined || seconds === undefined || monthIndex === -1) return undefined;
  if (hours > 23 || minutes > 59 || seconds > 60) return undefined;
  const ms = Date.UTC(Number(year), monthIndex, Number(day), hours, minutes, seconds);
  // a leap second is the next minute's first
  return new Date(ms - seconds * 1000).getUTCDate() === Number(day) ? ms : undefined;
}

/** @returns an IMF-fixdate, whole seconds, cut and not rounded so that it never lies in the future */
export function formatHttpDate(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toUTCString();
}

/**
 * As {@link parseHttpDate}, for a header that must be right.
 * @throws PacificaError `invalid`
 */
export function requireHttpDate(header: string, text: string): number {
  const ms = parseHttpDate(text);
  if (ms === undefined) {
    throw new PacificaError('invalid', `the ${header} header ${JSON.stringify(text.slice(0, 100))} is not a date`, {
      hint: 'write it like "Sun, 06 Nov 1994 08:49:37 GMT"',
    });
  }
  return ms;
}

import { PacificaError } from './errors.js';

/** A part of each day in local time, which may go over midnight. */
export interface DailyWindow {
  /** @returns ms until the window that is open now closes; undefined when it is closed */
  left(now: Date): number | undefined;
}

const DAY = 24 * 60;

/**
 * Reads `22:00-06:00`. `00:00-24:00` is always open.
 * @throws PacificaError `invalid`
 */
export function parseDailyWindow(text: string): DailyWindow {
  const match = /^\s*([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})\s*$/.exec(text);
  const [from = NaN, to = NaN] = match === null ? [] : [minutes(match[1], match[2]), minutes(match[3], match[4])];
  if (!(from < DAY && to <= DAY && from !== to)) {
    throw new PacificaError('invalid', `"${text}" is not a part of the day`, { hint: 'write it like 22:00-06:00' });
  }
  const length = (to - from + DAY) % DAY || DAY;
  return {
    left(now) {
      const since = (now.getHours() * 60 + now.getMinutes() - from + DAY) % DAY;
      if (since >= length) return undefined;
      return (length - since) * 60_000 - now.getSeconds() * 1000 - now.getMilliseconds();
    },
  };
}

function minutes(hour: string | undefined, minute: string | undefined): number {
  return Number(minute) < 60 ? Number(hour) * 60 + Number(minute) : NaN;
}

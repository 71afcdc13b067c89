import parseRange from 'range-parser';
import { PacificaError } from './errors.js';

/** Bytes `[start, end)`. */
export interface ByteRange {
  start: number;
  end: number;
}

/**
 * What a Range header asks for (RFC 9110, 14.2), several ranges joined where they touch.
 * @param size length of the whole in bytes
 * @param limit how many ranges are answered; more are treated as none
 * @returns undefined when the whole is to be sent: no header, another unit, not well-formed, too many
 * @throws PacificaError `range` when none of it lies within the whole (416)
 */
export function parseRangeHeader(header: string | undefined, size: number, limit = 1): ByteRange[] | undefined {
  if (header === undefined || header === '') return undefined;
  const ranges = parseRange(size, header, { combine: true });
  if (ranges === -2) return undefined;
  if (ranges === -1) throw new PacificaError('range', `the range "${header}" lies outside of the ${size} bytes`);
  if (ranges.type !== 'bytes' || ranges.length > limit) return undefined;
  return ranges.map(({ start, end }) => ({ start, end: end + 1 }));
}

/**
 * The old client's own `?byte_range=START-END`: START inclusive, END exclusive, past the end is cut short, a start that
 * is not before the end is empty (wire.md, archive part).
 * @throws PacificaError `invalid` for anything else
 */
export function parseOldByteRange(text: string, size: number): ByteRange {
  const match = /^([0-9]{1,20})-([0-9]{1,20})$/.exec(text);
  if (match === null) {
    throw new PacificaError('invalid', `byte_range "${text}" is not valid`, {
      hint: 'write START-END, END exclusive, like byte_range=0-10',
    });
  }
  const start = Math.min(Number(match[1]), size);
  const end = Math.min(Number(match[2]), size);
  return { start, end: Math.max(start, end) };
}

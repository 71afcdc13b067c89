import { PacificaError } from './errors.js';

/** Bytes `[start, end)`. */
export interface ByteRange {
  start: number;
  end: number;
}

/**
 * What a Range header asks for (RFC 9110, 14.2), ranges joined where they touch or overlap.
 * @param size length of the whole in bytes
 * @param limit how many ranges are answered; more are treated as none
 * @returns undefined when the whole is to be sent: no header, another unit, not well-formed, too many
 * @throws PacificaError `range` when none of it lies within the whole (416)
 */
export function parseRangeHeader(header: string | undefined, size: number, limit = 1): ByteRange[] | undefined {
  const specs = /^\s*bytes\s*=(.*)$/i.exec(header ?? '')?.[1]?.split(',');
  if (specs === undefined) return undefined;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    // RFC 9110, 5.6.1.2: empty elements of a list do not count
    if (spec.trim() === '') continue;
    const range = parseSpec(spec.trim(), size);
    if (range === undefined) return undefined;
    if (range.start < range.end) ranges.push(range);
  }
  if (ranges.length === 0) {
    throw new PacificaError('range', `the range "${header ?? ''}" lies outside of the ${size} bytes`);
  }
  const joined = join(ranges);
  return joined.length > limit ? undefined : joined;
}

/** @returns an empty range for one that lies outside, undefined for what is no range (RFC 9110, 14.1.1) */
function parseSpec(spec: string, size: number): ByteRange | undefined {
  const match = /^([0-9]*)-([0-9]*)$/.exec(spec);
  if (match === null || spec === '-') return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return { start: Math.max(0, size - Number(last)), end: size };
  if (last !== '' && Number(last) < Number(first)) return undefined;
  return { start: Math.min(Number(first), size), end: last === '' ? size : Math.min(Number(last) + 1, size) };
}

/** Joins ranges that touch or overlap (RFC 9110, 15.3.7.2 lets us); the others keep the order they were asked in. */
function join(ranges: readonly ByteRange[]): ByteRange[] {
  const sorted = ranges.map((range, index) => ({ ...range, index })).sort((one, other) => one.start - other.start);
  const joined: (ByteRange & { index: number })[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && range.start <= last.end) {
      last.end = Math.max(last.end, range.end);
      last.index = Math.min(last.index, range.index);
    } else joined.push(range);
  }
  return joined.sort((one, other) => one.index - other.index).map(({ start, end }) => ({ start, end }));
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

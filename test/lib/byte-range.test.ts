import { expect, test } from 'vitest';
import { parseOldByteRange, parseRangeHeader } from '../../src/lib/byte-range.js';

test.each([
  ['bytes=0-4', [[0, 5]]],
  ['bytes=25-', [[25, 30]]],
  ['bytes=-5', [[25, 30]]],
  // RFC 9110, 14.1.2: a suffix longer than the whole is the whole
  ['bytes=-1000', [[0, 30]]],
  ['bytes=20-999999999999999999999999', [[20, 30]]],
  ['Bytes = 0-0', [[0, 1]]],
  [
    'bytes=10-19, 0-4',
    [
      [10, 20],
      [0, 5],
    ],
  ],
  ['bytes=0-4,5-9', [[0, 10]]],
  [
    'bytes=20-29,0-9,5-12',
    [
      [20, 30],
      [0, 13],
    ],
  ],
  ['bytes=0-4,,40-50', [[0, 5]]],
])('%s', (header, ranges) => {
  expect(parseRangeHeader(header, 30, 5)).toEqual(ranges.map(([start, end]) => ({ start, end })));
});

test.each([
  undefined,
  '',
  'lines=0-4',
  'bytes',
  'bytes=9-5',
  'bytes=a-b',
  'bytes=-',
  'bytes=1',
  'bytes=0-4,x',
  'bytes=--5',
  'bytes=1-2-3',
])('%s asks for nothing that we know: the whole is sent', (header) => {
  expect(parseRangeHeader(header, 30)).toBeUndefined();
});

test('more ranges than are answered are none', () => {
  expect(parseRangeHeader('bytes=0-0,2-2,4-4', 30, 2)).toBeUndefined();
  expect(parseRangeHeader('bytes=0-0,1-1,2-2', 30, 1)).toEqual([{ start: 0, end: 3 }]);
});

test.each([
  ['bytes=30-', 30],
  ['bytes=30-31', 30],
  ['bytes=-0', 30],
  ['bytes=0-', 0],
  ['bytes=-5', 0],
])('%s of %i bytes lies outside', (header, size) => {
  expect(() => parseRangeHeader(header, size)).toThrow(expect.objectContaining({ code: 'range' }) as Error);
});

test.each([
  ['0-10', 0, 10],
  ['5-100', 5, 30],
  ['100-200', 30, 30],
  ['10-5', 10, 10],
])('the old byte_range %s', (text, start, end) => {
  expect(parseOldByteRange(text, 30)).toEqual({ start, end });
});

test.each(['', '-', '5-', '-5', 'a-b', '1-2-3', ' 1-2', '1.5-2'])('the old byte_range %j is refused', (text) => {
  expect(() => parseOldByteRange(text, 30)).toThrow(expect.objectContaining({ code: 'invalid' }) as Error);
});

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { formatHttpDate, parseHttpDate } from '../../src/lib/http-date.js';

const MS = 784_111_777_000;

test.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
  '%s',
  (text) => {
    expect(parseHttpDate(text)).toBe(MS);
  },
);

test('what Python writes can be read', () => {
  const program =
    'import time, email.utils; print(email.utils.formatdate(784111777, usegmt=True)); print(time.asctime(time.gmtime(784111777)))';
  const lines = execFileSync('python3', ['-c', program], { encoding: 'utf8' }).trim().split('\n');
  expect(lines.map(parseHttpDate)).toEqual([MS, MS]);
});

test.each([
  '',
  '784111777',
  'yesterday',
  '1994-11-06T08:49:37Z',
  'Sun, 31 Feb 2021 08:49:37 GMT',
  'Sun, 06 Nov 1994 24:00:00 GMT',
  'Sun, 06 Foo 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 08:49:37 PST',
  'Sun, 06 Nov 1994 08:49:37 GMT ',
])('%j is no date', (text) => expect(parseHttpDate(text)).toBeUndefined());

test('a date is written in whole seconds that do not lie in the future', () => {
  expect(formatHttpDate(MS + 999)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
});

import { expect, it } from 'vitest';
import { parseDuration } from '../../src/lib/duration.js';

it.each([
  ['90s', 90_000],
  ['5m', 300_000],
  ['1.5d', 129_600_000],
  ['2 hours', 7_200_000],
  ['60 days ago', 60 * 86_400_000],
  ['1 Week', 7 * 86_400_000],
  ['.5 h', 1_800_000],
  ['2w', 14 * 86_400_000],
])('reads %s', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

it.each(['', '5', 'nonsense', '-1 days', '1 moon', '1 day later', '1e9 days'])('refuses %j', (text) => {
  expect(() => parseDuration(text)).toThrow(`"${text}" is not a time span`);
});

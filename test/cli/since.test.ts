import { expect, it } from 'vitest';
import { parseSince } from '../../src/cli/since.js';

const NOW = Date.UTC(2026, 10, 29, 12);

it.each([
  ['2026-11-29', Date.UTC(2026, 10, 29)],
  ['2026-11-29T14:09', Date.UTC(2026, 10, 29, 14, 9)],
  ['2026-11-29 14:09:05', Date.UTC(2026, 10, 29, 14, 9, 5)],
  ['2026-11-29T14:09:05+02:00', Date.UTC(2026, 10, 29, 12, 9, 5)],
  ['36h', NOW - 36 * 3_600_000],
  ['7 days ago', NOW - 7 * 86_400_000],
])('reads %s', (text, time) => {
  expect(parseSince(text, NOW)).toBe(time);
});

it.each(['', 'yesterday', '2026-13-01', '2026-11-29T', '5'])('refuses %j', (text) => {
  expect(() => parseSince(text, NOW)).toThrow('is no time');
});

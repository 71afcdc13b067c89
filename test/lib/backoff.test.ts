import { expect, it } from 'vitest';
import { backoff } from '../../src/lib/backoff.js';

it.each([
  { attempt: 1, most: 1000 },
  { attempt: 2, most: 2000 },
  { attempt: 5, most: 16_000 },
  { attempt: 9, most: 60_000 },
  { attempt: 5000, most: 60_000 },
])('waits between half of and all of $most ms after try $attempt', ({ attempt, most }) => {
  const waits = Array.from({ length: 200 }, () => backoff(attempt, { first: 1000, longest: 60_000 }));
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(most / 2);
  expect(Math.max(...waits)).toBeLessThanOrEqual(most);
  // not all at the same moment
  expect(new Set(waits).size).toBeGreaterThan(100);
});

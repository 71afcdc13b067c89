import { PacificaError } from './errors.js';

/** ms a unit */
const UNITS: readonly (readonly [name: RegExp, ms: number])[] = [
  [/^(s|sec|seconds?)$/, 1000],
  [/^(m|min|minutes?)$/, 60_000],
  [/^(h|hours?)$/, 3_600_000],
  [/^(d|days?)$/, 86_400_000],
  [/^(w|weeks?)$/, 7 * 86_400_000],
];

/**
 * Reads a time span: `90s`, `5m`, `2h`, `1.5d`, `2w`, and in words as the originals' commands take it: `60 days ago`.
 * @returns ms
 * @throws PacificaError `invalid`
 */
export function parseDuration(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-z]+)(\s+ago)?$/.exec(text.trim().toLowerCase());
  const unit = UNITS.find(([name]) => name.test(match?.[2] ?? ''))?.[1];
  if (match === null || unit === undefined) {
    throw new PacificaError('invalid', `"${text}" is not a time span`, {
      hint: 'write it like 90s, 5m, 2h, 1.5d, 2w or "60 days ago"',
    });
  }
  return Math.round(Number(match[1]) * unit);
}

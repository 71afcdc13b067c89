import { PacificaError } from './errors.js';

/** Bytes a unit. `Mb` with a small b is 2^20, `MB` 10^6: so the originals read their `transfer_size`. `MiB` as everywhere. */
const UNITS = new Map<string, number>([
  ['', 1],
  ['B', 1],
  ['b', 1],
  ...['K', 'M', 'G', 'T', 'P'].flatMap((letter, index): [string, number][] => [
    [letter, 1024 ** (index + 1)],
    [`${letter}b`, 1024 ** (index + 1)],
    [`${letter}iB`, 1024 ** (index + 1)],
    [`${letter}B`, 1000 ** (index + 1)],
    [`${letter.toLowerCase()}B`, 1000 ** (index + 1)],
    [letter.toLowerCase(), 1024 ** (index + 1)],
  ]),
]);

/**
 * Reads a size: `4 Mb` and `4M` are 4 x 2^20, `4 MB` is 4 x 10^6, `4 MiB` 4 x 2^20, a bare number is bytes.
 * @returns bytes, a whole number
 * @throws PacificaError `invalid`
 */
export function parseSize(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const unit = match === null ? undefined : UNITS.get(match[2] ?? '');
  if (match === null || unit === undefined) {
    throw new PacificaError('invalid', `"${text}" is not a size`, {
      hint: 'write it like 4096, 512K, 4 Mb (2^20), 4 MB (10^6) or 1.5G',
    });
  }
  return Math.round(Number(match[1]) * unit);
}

/** @returns bytes for people: `0 B`, `1.5 MiB` */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value.toString() : value.toFixed(1)} ${units[unit] ?? ''}`;
}

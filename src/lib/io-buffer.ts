/**
 * Bytes at the beginning of a large piece of memory that are not used. It begins where a page does (glibc: 16 bytes on),
 * and so do the pages of files that the kernel copies to it. Between addresses that are the same but for their last few
 * bits a processor copies at half the speed and less: half a page away from there it does not, whatever the allocator.
 * (Measured on an AMD EPYC: a file read and sent took 1.0 s of processor time a GiB at a page's start, 0.47 s from here.)
 */
const SKEW = 2032;

/** bytes from which on the allocator asks the system for pages */
const PAGES = 128 * 1024;

/** @returns memory to read files into and to write them from, not zeroed */
export function ioBuffer(size: number): Buffer {
  return size < PAGES ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(SKEW + size).subarray(SKEW);
}

/** bytes of buffers that go from hand to hand */
export const LARGE_BUFFER = 256 * 1024;
export const SMALL_BUFFER = 64 * 1024;

/** transfers of one sort at a time that use large ones: what all of them hold stays under a few MiB */
const FEW = 16;

/** bytes of each size that are kept for the next one */
const MOST_KEPT = 8 * 1024 * 1024;
const kept = new Map<number, Buffer[]>([
  [LARGE_BUFFER, []],
  [SMALL_BUFFER, []],
]);

/**
 * Large ones are no slower than any other (measured), and two of them stay in the processor's cache.
 * @param transfers how many of the sort run
 * @returns bytes of a buffer that each of them takes
 */
export function transferSize(transfers: number): number {
  return transfers <= FEW ? LARGE_BUFFER : SMALL_BUFFER;
}

/**
 * As {@link ioBuffer}, for what takes buffers all the time: they are garbage outside of V8's heap, which it clears late.
 * @param size one of the two above
 */
export function takeBuffer(size: number): Buffer {
  return kept.get(size)?.pop() ?? ioBuffer(size);
}

/** For the next one. Nobody may use it any more, the kernel neither: when in doubt, let it go instead. */
export function giveBuffer(buffer: Buffer): void {
  const list = kept.get(buffer.length);
  if (list !== undefined && list.length * buffer.length < MOST_KEPT) list.push(buffer);
}

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

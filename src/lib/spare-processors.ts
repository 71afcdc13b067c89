import { availableParallelism } from 'node:os';

/** one is busy with the connection, and one with the client or with the disk */
const BUSY = 2;

/** processors that are idle as a rule while bytes pass */
export const spareProcessors = Math.max(0, availableParallelism() - BUSY);

/**
 * Whether a thread of its own pays for work on bytes that pass. Where no processor is idle it takes time from the others,
 * and more in all, since bytes and wake-ups have to get there. (Measured on two: a PUT of 1 GiB takes a quarter less CPU
 * when it is hashed where it comes in, and a fifth less when it is written there.)
 */
export const hasSpareProcessors = spareProcessors > 0;

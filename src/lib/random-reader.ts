import { ioBuffer } from './io-buffer.js';

/** Bytes of known length that can be read from any place, by several readers at once: a file, a tar that is never written. */
export interface RandomReader {
  /** length in bytes */
  readonly size: number;
  /**
   * Fills `buffer` from byte `position` on, as far as there are bytes.
   * @returns the number of bytes put into `buffer`: less than its length only at the end
   * @throws PacificaError `integrity` when bytes that should be there are not
   */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Lets go of what is open. May be called twice. */
  close(): Promise<void>;
}

/** A reader whose bytes are at hand as a rule: small pieces of a file. */
export interface PromptReader extends RandomReader {
  /**
   * As {@link RandomReader.read}, in the calling thread.
   * @returns undefined when the bytes have to be waited for, or can not be had: `read` waits, and tells why
   */
  readAtOnce(buffer: Uint8Array, position: number): number | undefined;
  /** As {@link RandomReader.close}. @returns false when that has to be waited for: nothing was done */
  closeAtOnce(): boolean;
}

/** Default size of a read in bytes. Measured: 1 MiB is where larger ones stop being faster. */
export const READ_SIZE = 1024 * 1024;

/**
 * Reads `[start, end)` as a stream of chunks. Each chunk is a buffer of its own, so consumers may keep it.
 * @param chunkSize bytes a chunk
 */
export async function* readChunks(
  reader: RandomReader,
  start = 0,
  end: number = reader.size,
  chunkSize: number = READ_SIZE,
): AsyncGenerator<Buffer> {
  let position = start;
  while (position < end) {
    const buffer = ioBuffer(Math.min(chunkSize, end - position));
    const got = await reader.read(buffer, position);
    if (got === 0) return;
    position += got;
    yield got === buffer.length ? buffer : buffer.subarray(0, got);
  }
}

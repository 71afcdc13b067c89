import { write } from 'node:fs';
import { writeSome } from './file-calls.js';
import { giveBuffer, SMALL_BUFFER, takeBuffer, transferSize } from './io-buffer.js';

/**
 * Writes a stream to an open file. Large pieces go to the disk as they are; small ones are put together in a block, and
 * one block is on its way to the disk while the next one is filled. Memory is bounded whatever the size and number of
 * pieces, and none of a caller's is kept.
 */
export class FileWriter {
  static #open = 0;

  readonly #fd: number;
  #block: Buffer | undefined;
  /** bytes in the block */
  #used = 0;
  #size = 0;
  /** the last piece being taken */
  #taking: Promise<void> | undefined;
  #writing: Promise<void> | undefined;
  #done = false;

  /** @param file open for writing; stays open until {@link release} */
  constructor({ fd }: { readonly fd: number }) {
    this.#fd = fd;
    FileWriter.#open += 1;
  }

  /** bytes handed over so far */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes a piece, whose memory is the caller's again when this resolves: there is room for more then. Throws what a write
   * threw.
   */
  write(piece: Uint8Array): Promise<void> {
    this.#taking = this.#take(piece);
    return this.#taking;
  }

  /** Writes what is left. All bytes are with the operating system when it resolves. */
  async flush(): Promise<void> {
    await this.#send();
    await this.#writing;
  }

  /**
   * Lets go of the writer's share of memory; the file stays open. Waits for all that is under way, also for a piece that
   * its caller left behind: the number of a descriptor that is closed may be another file's at once. May be called twice.
   */
  async release(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    FileWriter.#open -= 1;
    await this.#taking?.catch(() => undefined);
    await this.#writing?.catch(() => undefined);
    if (this.#block !== undefined) giveBuffer(this.#block);
    this.#block = undefined;
  }

  async #take(piece: Uint8Array): Promise<void> {
    this.#size += piece.length;
    if (piece.length >= transferSize(FileWriter.#open) / 2) {
      await this.#send();
      await this.#writing;
      await writeAll(this.#fd, piece);
      return;
    }
    for (let at = 0; at < piece.length;) {
      const block = (this.#block ??= takeBuffer(transferSize(FileWriter.#open)));
      const part = piece.subarray(at, at + block.length - this.#used);
      block.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
      if (this.#used === block.length) await this.#send();
    }
  }

  /** Sends the block on its way when the one before it has arrived. */
  async #send(): Promise<void> {
    await this.#writing;
    const block = this.#block;
    if (block === undefined || this.#used === 0) return;
    const bytes = block.subarray(0, this.#used);
    this.#block = undefined;
    this.#used = 0;
    this.#writing = writeAll(this.#fd, bytes).finally(() => giveBuffer(block));
    // heard at the next write or flush
    this.#writing.catch(() => undefined);
  }
}

/**
 * Writes all bytes, at the file's place: a single write may write less than it was given. Little is written at once;
 * much of it in the thread pool, since a disk that can not follow lets writes wait.
 */
async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  const some = bytes.length <= SMALL_BUFFER ? writeSome : writeInThreadPool;
  for (let at = 0; at < bytes.length;) at += await some(fd, bytes, at);
}

function writeInThreadPool(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, offset, bytes.length - offset, null, (error, bytesWritten) => {
      if (error === null) resolve(bytesWritten);
      else reject(error);
    });
  });
}

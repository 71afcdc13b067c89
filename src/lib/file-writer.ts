import { write } from 'node:fs';
import { writeSome } from './file-calls.js';
import { giveBuffer, takeBuffer, transferSize } from './io-buffer.js';

/** up to here the one write that is needed is made at once: going through the thread pool takes longer */
const AT_ONCE = 64 * 1024;

/**
 * Writes a stream to an open file: pieces are put together in a block, and one block is on its way to the disk while the
 * next one is filled. Memory is bounded whatever the size and number of pieces, and what a socket gave is let go of at
 * once: kept until it is written it would outlive V8's young generation, and then be cleared tens of MiB later.
 */
export class FileWriter {
  static #open = 0;

  readonly #fd: number;
  /** all that came, while it is one piece */
  #only: Uint8Array | undefined;
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

  /** Takes a piece. It must not be changed afterwards. Resolves when there is room for more; throws what a write threw. */
  write(piece: Uint8Array): Promise<void> {
    this.#taking = this.#take(piece);
    return this.#taking;
  }

  /** Writes what is left. All bytes are with the operating system when it resolves. */
  async flush(): Promise<void> {
    const only = this.#only;
    this.#only = undefined;
    if (only !== undefined) for (let at = 0; at < only.length;) at += await writeSome(this.#fd, only, at);
    if (this.#used > 0) await this.#send();
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
    const isFirst = this.#size === 0;
    this.#size += piece.length;
    if (isFirst && piece.length <= AT_ONCE) {
      this.#only = piece;
      return;
    }
    const only = this.#only;
    this.#only = undefined;
    if (only !== undefined) await this.#gather(only);
    await this.#gather(piece);
  }

  async #gather(piece: Uint8Array): Promise<void> {
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
    if (block === undefined) return;
    const used = this.#used;
    this.#block = undefined;
    this.#used = 0;
    this.#writing = writeAll(this.#fd, block, used).finally(() => giveBuffer(block));
    // heard at the next write or flush
    this.#writing.catch(() => undefined);
  }
}

/** Writes the first `length` bytes, at the file's place: a single write may write less than it was given. */
async function writeAll(fd: number, bytes: Uint8Array, length: number): Promise<void> {
  for (let at = 0; at < length;) at += await writeInThreadPool(fd, bytes, at, length - at);
}

function writeInThreadPool(fd: number, bytes: Uint8Array, offset: number, length: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, offset, length, null, (error, bytesWritten) => {
      if (error === null) resolve(bytesWritten);
      else reject(error);
    });
  });
}

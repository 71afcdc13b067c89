import { writeAside, writeMuch, writeSome } from './file-calls.js';
import { giveBuffer, takeBuffer, transferSize } from './io-buffer.js';
import { hasSpareProcessors } from './spare-processors.js';

/** a file of up to this many bytes is written at once: the way through the thread pool takes longer */
const AT_ONCE = 64 * 1024;

/**
 * Writes a stream to an open file. Large pieces go to the disk as they are; small ones are put together in a block, and
 * one block is on its way to the disk while the next one is filled. Memory is bounded whatever the size and number of
 * pieces, and none of a caller's is kept.
 */
export class FileWriter {
  static #open = 0;

  readonly #fd: number;
  readonly #how: WriteSome;
  #block: Buffer | undefined;
  /** bytes in the block */
  #used = 0;
  #size = 0;
  /** the last piece being taken */
  #taking: Promise<void> | undefined;
  #writing: Promise<void> | undefined;
  #done = false;

  /**
   * @param file open for writing; stays open until {@link release}
   * @param options.aside whether a thread beside this one writes
   */
  constructor({ fd }: { readonly fd: number }, { aside = hasSpareProcessors }: { aside?: boolean } = {}) {
    this.#fd = fd;
    this.#how = aside ? writeAside : writeMuch;
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
    await this.#send(this.#used === this.#size && this.#size <= AT_ONCE ? writeSome : this.#how);
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
      await writeAll(this.#fd, piece, this.#how);
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
  async #send(how: WriteSome = this.#how): Promise<void> {
    await this.#writing;
    const block = this.#block;
    if (block === undefined || this.#used === 0) return;
    const bytes = block.subarray(0, this.#used);
    this.#block = undefined;
    this.#used = 0;
    this.#writing = writeAll(this.#fd, bytes, how).finally(() => giveBuffer(block));
    // heard at the next write or flush
    this.#writing.catch(() => undefined);
  }
}

/** @returns bytes written, which may be less than `bytes` has from `offset` on */
type WriteSome = (fd: number, bytes: Uint8Array, offset: number) => Promise<number>;

/** Writes all bytes, at the file's place. */
async function writeAll(fd: number, bytes: Uint8Array, how: WriteSome): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await how(fd, bytes, at);
}

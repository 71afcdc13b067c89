import { constants } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { systemCode } from './errors.js';
import { closeFile, openFile, writeAt } from './file-calls.js';
import { DIRECT_BLOCK, giveDirectBlock, takeDirectBlock } from './direct-memory.js';

/**
 * File systems on disks of this machine, by what statfs(2) calls them: ext2 to ext4, and XFS. One write after the other is
 * as fast as their disk there; over a network it would be many times slower.
 */
const LOCAL: ReadonlySet<number> = new Set([0xef53, 0x58465342]);
/** files that are written this way at a time: each keeps one of the four threads busy that Node has for files */
const MOST = 2;

/**
 * Writes the bytes of a large file from some place on straight to the disk, past the page cache (O_DIRECT): nothing is
 * copied to memory that the system would have to find first and to write later, and what others read often stays there.
 * One block is on its way to the disk while the next one is filled.
 */
export class DirectWriter {
  static #open = 0;

  readonly #fd: number;
  /** the same file, opened for direct writes; undefined when it does not take them after all */
  #direct: number | undefined;
  #filling: Buffer;
  #sent: Buffer;
  /** bytes in the block that is being filled */
  #used = 0;
  /** place of that block in the file */
  #position: number;
  #writing: Promise<void> | undefined;

  private constructor(fd: number, direct: number, position: number, [filling, sent]: readonly [Buffer, Buffer]) {
    this.#fd = fd;
    this.#direct = direct;
    this.#position = position;
    this.#filling = filling;
    this.#sent = sent;
  }

  /**
   * @param fd open for writing; stays open until {@link release}
   * @param position where it goes on, a multiple of a sector; all before that is with the operating system
   * @returns undefined where files are not written this way, or enough of them are
   */
  static async begin(fd: number, position: number): Promise<DirectWriter | undefined> {
    if (DirectWriter.#open >= MOST) return undefined;
    DirectWriter.#open += 1;
    const blocks: Buffer[] = [];
    try {
      // the very file, whatever its name is by now
      const path = `/proc/self/fd/${fd}`;
      if (LOCAL.has((await statfs(path)).type)) {
        const filling = takeDirectBlock();
        blocks.push(filling);
        const sent = takeDirectBlock();
        blocks.push(sent);
        const direct = await openFile(path, constants.O_WRONLY | constants.O_DIRECT);
        return new DirectWriter(fd, direct, position, [filling, sent]);
      }
    } catch {
      // another system, no memory, no descriptor left: it is written as any other file
      blocks.forEach(giveDirectBlock);
    }
    DirectWriter.#open -= 1;
    return undefined;
  }

  /** whether bytes still go past the page cache: not after a write that the file system did not take so */
  get isDirect(): boolean {
    return this.#direct !== undefined;
  }

  /** As FileWriter's: the piece's memory is the caller's again when this resolves. Throws what a write threw. */
  async write(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + DIRECT_BLOCK - this.#used);
      this.#filling.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
      if (this.#used === DIRECT_BLOCK) await this.#send();
    }
  }

  /** Writes what is left, which fills no block. All bytes are with the operating system, or on the disk, when it resolves. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#close();
    this.#writing = this.#put(this.#filling.subarray(0, this.#used), this.#position);
    this.#position += this.#used;
    this.#used = 0;
    await this.#writing;
  }

  /** Waits for what is under way, and gives others their turn. To be called once. */
  async release(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#close().catch(() => undefined);
    giveDirectBlock(this.#filling);
    giveDirectBlock(this.#sent);
    DirectWriter.#open -= 1;
  }

  async #send(): Promise<void> {
    await this.#writing;
    const full = this.#filling;
    this.#filling = this.#sent;
    this.#sent = full;
    this.#writing = this.#put(full, this.#position);
    // heard at the next write or flush
    this.#writing.catch(() => undefined);
    this.#position += DIRECT_BLOCK;
    this.#used = 0;
  }

  async #put(bytes: Uint8Array, position: number): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      try {
        at += await writeAt(this.#direct ?? this.#fd, bytes, at, position + at);
      } catch (error) {
        // the file system takes none, or only a part of the block was written and the rest begins at no sector
        if (this.#direct === undefined || systemCode(error) !== 'EINVAL') throw error;
        await this.#close();
      }
    }
  }

  /** No direct write comes after it. */
  async #close(): Promise<void> {
    const direct = this.#direct;
    this.#direct = undefined;
    if (direct !== undefined) await closeFile(direct);
  }
}

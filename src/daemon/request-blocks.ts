import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream';
import { giveBuffer, SMALL_BUFFER, takeBuffer, transferSize } from '../lib/io-buffer.js';
import { noteReceived } from '../lib/received.js';
import { Turn } from '../lib/turn.js';
import { hungUp, requestBody } from './request-body.js';

/** ms after which what a slow client sent is handed out, though it fills no block */
const PATIENCE = 100;
/** bytes of all bodies that are handed out in one turn of the event loop */
const turn = new Turn(2 * 1024 * 1024);

/**
 * The body of a request in large blocks, for those that go to the disk: each piece that the socket gives is put into the
 * block at once, and what is done with the bytes is done once a block. Nothing is read before the first block is asked
 * for. A block is the reader's until it asks for the next one; then it is filled again. Leaving it early does not cut
 * the connection: the answer goes out on it.
 * @throws PacificaError `aborted` when the client hangs up before all of it came
 */
export function requestBlocks(req: IncomingMessage): AsyncGenerator<Buffer> {
  // what is announced to be small needs no block
  return Number(req.headers['content-length']) <= SMALL_BUFFER ? requestBody(req) : filledBlocks(req);
}

async function* filledBlocks(req: IncomingMessage): AsyncGenerator<Buffer> {
  const blocks = new Blocks(req);
  try {
    for (;;) {
      const block = await blocks.next();
      if (block === undefined) break;
      yield block.bytes;
      giveBuffer(block.memory);
    }
  } finally {
    blocks.stop();
  }
  // a connection that was cut can look like an end
  if (!req.complete) throw hungUp();
}

interface Block {
  readonly memory: Buffer;
  /** the part of it that is filled */
  readonly bytes: Buffer;
}

class Blocks {
  static #open = 0;

  readonly #req: IncomingMessage;
  readonly #stopListening: () => void;
  #filling: Buffer | undefined;
  /** bytes in the block that is being filled */
  #used = 0;
  readonly #full: Block[] = [];
  #ended = false;
  #failure: Error | undefined;
  /** set while the reader waits */
  #wake: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(req: IncomingMessage) {
    Blocks.#open += 1;
    this.#req = req;
    this.#stopListening = finished(req, { writable: false }, (error) => {
      this.#ended = true;
      this.#failure = error ?? undefined;
      this.#wake?.();
    });
    req.on('data', this.#onData);
  }

  /** @returns undefined after the last one */
  async next(): Promise<Block | undefined> {
    while (this.#full.length === 0 && !this.#ended) {
      await this.#more();
      if (this.#used > 0) break;
    }
    const block = this.#full.shift() ?? this.#rest();
    if (block !== undefined) await turn.take(block.bytes.length);
    else if (this.#failure !== undefined) throw hungUp(this.#failure);
    return block;
  }

  /** Reads no more. */
  stop(): void {
    Blocks.#open -= 1;
    clearTimeout(this.#timer);
    this.#req.off('data', this.#onData);
    this.#stopListening();
    if (!this.#ended) this.#req.pause();
    const { memory } = this.#rest() ?? {};
    if (memory !== undefined) giveBuffer(memory);
    for (const block of this.#full.splice(0)) giveBuffer(block.memory);
  }

  /** Waits until there is a block, or some bytes for a while, or the end. */
  async #more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#used > 0) this.#wakeSoon();
      if (this.#req.isPaused()) this.#req.resume();
    });
    this.#wake = undefined;
  }

  #wakeSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#used > 0) this.#wake?.();
    }, PATIENCE);
  }

  readonly #onData = (piece: Buffer): void => {
    noteReceived(piece.length);
    for (let at = 0; at < piece.length;) {
      const memory = (this.#filling ??= takeBuffer(transferSize(Blocks.#open)));
      const copied = piece.copy(memory, this.#used, at);
      at += copied;
      this.#used += copied;
      if (this.#used < memory.length) break;
      this.#full.push({ memory, bytes: memory });
      this.#filling = undefined;
      this.#used = 0;
    }
    if (this.#full.length === 0) {
      if (this.#wake !== undefined) this.#wakeSoon();
    } else if (this.#wake === undefined) {
      this.#req.pause();
    } else {
      this.#wake();
    }
  };

  /** @returns what the block that is being filled has so far */
  #rest(): Block | undefined {
    const memory = this.#filling;
    if (memory === undefined) return undefined;
    this.#filling = undefined;
    const bytes = memory.subarray(0, this.#used);
    this.#used = 0;
    return { memory, bytes };
  }
}

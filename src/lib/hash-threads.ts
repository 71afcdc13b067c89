import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { messageOf, PacificaError } from './errors.js';
import { type HashAnswer, type HashTask, hashWorker } from './hash-worker.js';
import { giveBuffer, LARGE_BUFFER, SMALL_BUFFER, takeBuffer } from './io-buffer.js';
import { spareProcessors } from './spare-processors.js';

/** most threads of the process; one hashes 1.5 GB/s and takes about 10 MiB */
const MOST_THREADS = Math.max(1, Math.min(4, spareProcessors));
/** bytes that a thread is given at a time */
const PORTION = LARGE_BUFFER;
/** portions of all streams that are on their way at a time */
const MOST_PORTIONS = 16;

/** Hashes streams in a thread beside those of other streams. */
class HashThread {
  /** streams that use it */
  streams = 0;
  readonly #worker: Worker;
  readonly #asked: { resolve: (answer: HashAnswer) => void; reject: (error: unknown) => void }[] = [];
  #failure: PacificaError | undefined;

  /** @param onEnd told when it can do no more */
  constructor(onEnd: (thread: HashThread) => void) {
    const text = `(${hashWorker.toString()})(require('node:worker_threads').parentPort, require('node:crypto').createHash)`;
    this.#worker = new Worker(text, {
      eval: true,
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    });
    this.#worker.on('message', (answer: HashAnswer) => {
      this.#asked.shift()?.resolve(answer);
      if (this.#asked.length === 0) this.#worker.unref();
    });
    const fail = (reason: string, cause?: unknown): void => {
      this.#failure ??= new PacificaError('internal', `hashing failed: ${reason}`, { cause });
      onEnd(this);
      for (const { reject } of this.#asked.splice(0)) reject(this.#failure);
    };
    this.#worker.on('error', (error) => fail(messageOf(error), error));
    this.#worker.on('exit', (code) => fail(`its thread ended with ${code}`));
    // it ends with the process, and keeps the process only while somebody waits for it
    this.#worker.unref();
  }

  /** @throws PacificaError `internal` when the thread broke */
  ask(task: HashTask): Promise<HashAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      if (this.#asked.length === 0) this.#worker.ref();
      this.#asked.push({ resolve, reject });
      this.#worker.postMessage(task);
    });
  }
}

const threads = new Set<HashThread>();

/** @returns the thread with the fewest streams; a new one when all have some and there may be more */
function leastBusy(): HashThread {
  let best: HashThread | undefined;
  for (const thread of threads) if (best === undefined || thread.streams < best.streams) best = thread;
  if (best !== undefined && (best.streams === 0 || threads.size >= MOST_THREADS)) return best;
  const thread = new HashThread((ended) => threads.delete(ended));
  threads.add(thread);
  return thread;
}

const free: SharedArrayBuffer[] = [];
const waiting: ((memory: SharedArrayBuffer) => void)[] = [];
let portions = 0;

async function takePortion(): Promise<SharedArrayBuffer> {
  const memory = free.pop();
  if (memory !== undefined) return memory;
  if (portions < MOST_PORTIONS) {
    portions += 1;
    return new SharedArrayBuffer(PORTION);
  }
  return new Promise((resolve) => waiting.push(resolve));
}

function givePortion(memory: SharedArrayBuffer): void {
  const next = waiting.shift();
  if (next === undefined) free.push(memory);
  else next(memory);
}

/** @returns the thread that is least busy, with one stream more */
function joinThread(): HashThread {
  const thread = leastBusy();
  thread.streams += 1;
  return thread;
}

let streams = 0;

/**
 * Hashes of one stream, taken in a thread beside this one, so that 1 GiB does not keep the event loop for a second; of
 * what is small, here. Memory is bounded for all streams together. Call {@link digest} or {@link discard} at the end.
 */
export class ThreadHashes {
  readonly #types: readonly string[];
  readonly #stream = (streams += 1);
  #thread: HashThread | undefined;
  /** small pieces, put together */
  #block: Buffer | undefined;
  /** bytes in the block */
  #used = 0;
  #failure: { readonly error: unknown } | undefined;
  #hasEnded = false;

  /** @param types as Node's crypto names them */
  constructor(types: readonly string[]) {
    this.#types = types;
  }

  /**
   * Takes a piece, whose memory is the caller's again when this resolves: there is room for the next one then.
   * @throws PacificaError `internal` when the thread broke
   */
  async update(piece: Uint8Array): Promise<void> {
    if (this.#used + piece.length > SMALL_BUFFER) await this.#handOverBlock();
    if (piece.length > SMALL_BUFFER) {
      await this.#handOver(piece);
      return;
    }
    this.#block ??= takeBuffer(SMALL_BUFFER);
    this.#block.set(piece, this.#used);
    this.#used += piece.length;
  }

  /** @returns hashes in lower-case hex, in the order of the types */
  async digest(): Promise<readonly string[]> {
    try {
      if (this.#thread === undefined) return this.#types.map((type) => this.#hashHere(type));
      await this.#handOverBlock();
      const sums = await this.#thread.ask({ stream: this.#stream, end: 'digest' });
      if (this.#failure !== undefined) throw this.#failure.error;
      return sums ?? [];
    } finally {
      this.#leave();
    }
  }

  /** Forgets the stream. */
  discard(): void {
    this.#thread?.ask({ stream: this.#stream, end: 'discard' }).catch(() => undefined);
    this.#leave();
  }

  #hashHere(type: string): string {
    const bytes = this.#block?.subarray(0, this.#used) ?? new Uint8Array(0);
    return createHash(type).update(bytes).digest('hex');
  }

  async #handOverBlock(): Promise<void> {
    if (this.#block === undefined || this.#used === 0) return;
    const bytes = this.#block.subarray(0, this.#used);
    this.#used = 0;
    await this.#handOver(bytes);
  }

  async #handOver(bytes: Uint8Array): Promise<void> {
    // it may be given up while this one waits
    const isGivenUp = (): boolean => this.#hasEnded;
    for (let at = 0; at < bytes.length && !isGivenUp(); at += PORTION) {
      const thread = (this.#thread ??= joinThread());
      const memory = await takePortion();
      if (isGivenUp()) {
        givePortion(memory);
        return;
      }
      const part = bytes.subarray(at, at + PORTION);
      new Uint8Array(memory).set(part);
      void thread
        .ask({ stream: this.#stream, types: this.#types, memory, length: part.length })
        .catch((error: unknown) => (this.#failure ??= { error }))
        .finally(() => givePortion(memory));
      if (this.#failure !== undefined) throw this.#failure.error;
    }
  }

  #leave(): void {
    this.#hasEnded = true;
    if (this.#block !== undefined) giveBuffer(this.#block);
    this.#block = undefined;
    if (this.#thread !== undefined) this.#thread.streams -= 1;
    this.#thread = undefined;
  }
}

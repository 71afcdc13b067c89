import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { messageOf, PacificaError } from './errors.js';
import { type HashAnswer, type HashTask, hashWorker } from './hash-worker.js';

/** most threads of the process; one hashes 1.5 GB/s and takes about 10 MiB */
const MOST_THREADS = Math.max(1, Math.min(4, availableParallelism() - 2));
/** bytes that a thread is given at a time */
const PORTION = 512 * 1024;
/** portions of all streams that are on their way at a time */
const MOST_PORTIONS = 8;
/** bytes that all streams together may gather: many at once hand over less at a time */
const GATHER_BUDGET = 6 * 1024 * 1024;
const LEAST = 64 * 1024;

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

let streams = 0;
let open = 0;

/**
 * Hashes of one stream, taken in a thread beside this one, so that 1 GiB does not keep the event loop for a second; of
 * what fits into one portion, here. Memory is bounded for all streams together. Call {@link digest} or {@link discard}
 * at the end.
 */
export class ThreadHashes {
  readonly #types: readonly string[];
  readonly #stream = (streams += 1);
  #thread: HashThread | undefined;
  #pieces: Uint8Array[] = [];
  #gathered = 0;
  #failure: { readonly error: unknown } | undefined;

  /** @param types as Node's crypto names them */
  constructor(types: readonly string[]) {
    this.#types = types;
    open += 1;
  }

  /**
   * Takes a piece. It must not be changed before {@link digest} resolves. Resolves when there is room for the next one.
   * @throws PacificaError `internal` when the thread broke
   */
  async update(piece: Uint8Array): Promise<void> {
    this.#pieces.push(piece);
    this.#gathered += piece.length;
    const limit = Math.min(PORTION, Math.max(LEAST, GATHER_BUDGET / open));
    while (this.#gathered > limit) await this.#handOver();
  }

  /** @returns hashes in lower-case hex, in the order of the types */
  async digest(): Promise<readonly string[]> {
    try {
      if (this.#thread === undefined) return this.#types.map((type) => this.#hashHere(type));
      while (this.#gathered > 0) await this.#handOver();
      const sums = await this.#thread.ask({ stream: this.#stream, end: 'digest' });
      if (this.#failure !== undefined) throw this.#failure.error;
      return sums ?? [];
    } finally {
      this.#leave();
    }
  }

  /** Forgets the stream. */
  discard(): void {
    this.#pieces = [];
    this.#gathered = 0;
    this.#thread?.ask({ stream: this.#stream, end: 'discard' }).catch(() => undefined);
    this.#leave();
  }

  #hashHere(type: string): string {
    const hash = createHash(type);
    for (const piece of this.#pieces) hash.update(piece);
    return hash.digest('hex');
  }

  async #handOver(): Promise<void> {
    const memory = await takePortion();
    const length = this.#fill(new Uint8Array(memory));
    if (this.#thread === undefined) {
      this.#thread = leastBusy();
      this.#thread.streams += 1;
    }
    void this.#thread
      .ask({ stream: this.#stream, types: this.#types, memory, length })
      .catch((error: unknown) => (this.#failure ??= { error }))
      .finally(() => givePortion(memory));
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Moves gathered bytes to `portion`. @returns how many */
  #fill(portion: Uint8Array): number {
    let length = 0;
    let whole = 0;
    for (const piece of this.#pieces) {
      const room = portion.length - length;
      if (piece.length > room) {
        portion.set(piece.subarray(0, room), length);
        this.#pieces[whole] = piece.subarray(room);
        length += room;
        break;
      }
      portion.set(piece, length);
      length += piece.length;
      whole += 1;
    }
    this.#pieces.splice(0, whole);
    this.#gathered -= length;
    return length;
  }

  #leave(): void {
    open -= 1;
    if (this.#thread !== undefined) this.#thread.streams -= 1;
    this.#thread = undefined;
  }
}

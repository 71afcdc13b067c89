import { setImmediate as nextTurn } from 'node:timers/promises';
import { PacificaError } from '../errors.js';
import { Slots } from '../slots.js';
import type { PromptReader, RandomReader } from '../random-reader.js';
import { type TarEntry, tarEndLength, tarHeader, tarHeaderLength, tarPadding } from './header.js';

/** ms of synchronous work after which others get their turn */
const TIME_SLICE = 5;

/** What a tar is made of. Asked twice for the same thing, it gives the same thing. */
export interface TarSource<E extends TarEntry = TarEntry> {
  /**
   * @param index number of the batch, from 0
   * @returns the batch's entries in the order of the tar; some hundreds are a good size, they are in memory together
   */
  batch(index: number): Promise<readonly E[]>;
  /** number of batches */
  readonly batches: number;
  /** Opens the bytes of a file entry. At most one is open at a time for each reader. */
  open(entry: E): Promise<RandomReader>;
  /** As `open`, in the calling thread. @returns undefined when that has to be waited for */
  openAtOnce?(entry: E): PromptReader | undefined;
}

/**
 * Where every byte of a tar is, known before any of it is made: so it has an exact length, and any range of it can be
 * made without making the rest. In memory is one number for each batch of entries.
 */
export class TarLayout<E extends TarEntry = TarEntry> {
  /** length of the whole tar in bytes */
  readonly size: number;
  readonly #source: TarSource<E>;
  /** where each batch begins; the last one is where the end marker begins */
  readonly #starts: Float64Array;

  private constructor(source: TarSource<E>, starts: Float64Array) {
    this.#source = source;
    this.#starts = starts;
    const end = starts[source.batches] ?? 0;
    this.size = end + tarEndLength(end);
  }

  /** Goes through all entries once. */
  static async of<E extends TarEntry>(source: TarSource<E>): Promise<TarLayout<E>> {
    const starts = new Float64Array(source.batches + 1);
    let position = 0;
    for (let index = 0; index < source.batches; index += 1) {
      starts[index] = position;
      for (const entry of await source.batch(index)) position += lengthOf(entry);
    }
    starts[source.batches] = position;
    return new TarLayout(source, starts);
  }

  /** @returns the tar's bytes; close it to let go of the file that it read last */
  reader(): RandomReader {
    return new TarReader(this.size, this.#source, this.#starts);
  }
}

/** @returns bytes that an entry takes in the tar, with its header of `header` bytes */
function lengthOf(entry: TarEntry, header = tarHeaderLength(entry)): number {
  return header + entry.size + tarPadding(entry.size);
}

interface Batch<E> {
  readonly entries: readonly E[];
  /** where each entry begins, and where the last one ends */
  readonly starts: Float64Array;
  /** bytes of each entry's header */
  readonly headers: Float64Array;
}

interface OpenFile<E> {
  readonly entry: E;
  readonly reader: RandomReader & Partial<PromptReader>;
}

class TarReader<E extends TarEntry> implements RandomReader {
  readonly size: number;
  readonly #source: TarSource<E>;
  readonly #starts: Float64Array;
  /** reads come one after the other as a rule; two at once would close each other's file */
  readonly #turns = new Slots(1);
  #batch: Batch<E> | undefined;
  #file: OpenFile<E> | undefined;
  #sliceEnd = 0;

  constructor(size: number, source: TarSource<E>, starts: Float64Array) {
    this.size = size;
    this.#source = source;
    this.#starts = starts;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#turns.run(() => this.#fill(buffer, position));
  }

  close(): Promise<void> {
    return this.#turns.run(() => this.#closeFile());
  }

  async #fill(buffer: Uint8Array, position: number): Promise<number> {
    const want = buffer.subarray(0, Math.max(0, Math.min(buffer.length, this.size - position)));
    const end = this.#starts[this.#source.batches] ?? 0;
    this.#sliceEnd = performance.now() + TIME_SLICE;
    let filled = 0;
    while (filled < want.length) {
      const at = position + filled;
      if (at >= end) {
        want.fill(0, filled);
        break;
      }
      const batch = this.#loadedAt(at) ?? (await this.#batchAt(at));
      const index = lastNotAfter(batch.starts, at);
      const entry = batch.entries[index];
      if (entry === undefined) throw new PacificaError('internal', `the tar has no entry at byte ${at}`);
      const offset = at - (batch.starts[index] ?? 0);
      const header = batch.headers[index] ?? 0;
      if (offset < header) {
        const part = tarHeader(entry).subarray(offset, offset + want.length - filled);
        want.set(part, filled);
        filled += part.length;
      } else if (offset < header + entry.size) {
        const from = offset - header;
        const part = want.subarray(filled, filled + entry.size - from);
        // awaiting what is there already costs as much as reading a small file
        if (!this.#readAtOnce(entry, part, from)) await this.#read(entry, part, from);
        // the usual case is one read a small file: not to be kept open while the next read is far away
        if (from + part.length === entry.size && !this.#closeAtOnce()) await this.#closeFile();
        filled += part.length;
      } else {
        const padding = Math.min((batch.starts[index + 1] ?? 0) - at, want.length - filled);
        want.fill(0, filled, filled + padding);
        filled += padding;
      }
      if (performance.now() >= this.#sliceEnd) await this.#letOthers();
    }
    return want.length;
  }

  /** @returns false when the bytes have to be waited for, or can not be had: {@link #read} waits, and tells why */
  #readAtOnce(entry: E, part: Uint8Array, from: number): boolean {
    if (this.#file?.entry !== entry) {
      if (!this.#closeAtOnce()) return false;
      const reader = this.#source.openAtOnce?.(entry);
      if (reader === undefined) return false;
      this.#file = { entry, reader };
      checkSize(entry, reader);
    }
    return this.#file.reader.readAtOnce?.(part, from) === part.length;
  }

  #closeAtOnce(): boolean {
    if (this.#file !== undefined && this.#file.reader.closeAtOnce?.() !== true) return false;
    this.#file = undefined;
    return true;
  }

  async #read(entry: E, part: Uint8Array, from: number): Promise<void> {
    const reader = await this.#open(entry);
    const got = await reader.read(part, from);
    if (got === part.length) return;
    throw new PacificaError('integrity', `${entry.path} ends at ${from + got} of ${entry.size} bytes`);
  }

  async #open(entry: E): Promise<RandomReader> {
    if (this.#file?.entry === entry) return this.#file.reader;
    await this.#closeFile();
    const reader = await this.#source.open(entry);
    this.#file = { entry, reader };
    checkSize(entry, reader);
    return reader;
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.reader.close();
  }

  #loadedAt(position: number): Batch<E> | undefined {
    const starts = this.#batch?.starts;
    if (starts === undefined || position < (starts[0] ?? 0) || position >= (starts.at(-1) ?? 0)) return undefined;
    return this.#batch;
  }

  async #batchAt(position: number): Promise<Batch<E>> {
    const index = lastNotAfter(this.#starts, position);
    const entries = await this.#source.batch(index);
    const starts = new Float64Array(entries.length + 1);
    const headers = new Float64Array(entries.length);
    let end = this.#starts[index] ?? 0;
    entries.forEach((entry, number) => {
      starts[number] = end;
      const header = tarHeaderLength(entry);
      headers[number] = header;
      end += lengthOf(entry, header);
    });
    starts[entries.length] = end;
    if (end !== this.#starts[index + 1]) {
      throw new PacificaError('integrity', `the entries of the tar changed while it was read (batch ${index})`);
    }
    this.#batch = { entries, starts, headers };
    return this.#batch;
  }

  async #letOthers(): Promise<void> {
    await nextTurn();
    this.#sliceEnd = performance.now() + TIME_SLICE;
  }
}

/** A file that changed since the layout was made would shift all that comes after it. */
function checkSize(entry: TarEntry, { size }: RandomReader): void {
  if (size === entry.size) return;
  throw new PacificaError('integrity', `${entry.path} has ${size} bytes, expected are ${entry.size}`);
}

/** @returns index of the last of ascending numbers that is at most `value` */
function lastNotAfter(ascending: Float64Array, value: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((ascending[middle] ?? Infinity) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

import { randomBytes } from 'node:crypto';
import type { ByteRange } from '../lib/byte-range.js';
import type { RandomReader } from '../lib/random-reader.js';

/** A piece of the body: bytes of ours, or bytes of the file from `start` on. */
type Piece = { readonly at: number; readonly length: number } & (
  { readonly text: Buffer } | { readonly start: number }
);

/**
 * Several ranges of a file as one body, `multipart/byteranges` (RFC 9110, 14.6), whose length is known before any of it
 * is read.
 */
export class ByteRanges implements RandomReader {
  readonly size: number;
  /** value of the answer's Content-Type */
  readonly type: string;
  readonly #file: RandomReader;
  readonly #pieces: Piece[] = [];

  /** @param type media type of the file */
  constructor(file: RandomReader, ranges: readonly ByteRange[], type: string) {
    const boundary = randomBytes(16).toString('hex');
    this.type = `multipart/byteranges; boundary=${boundary}`;
    this.#file = file;
    let at = 0;
    const addText = (text: string): void => {
      const bytes = Buffer.from(text);
      this.#pieces.push({ at, length: bytes.length, text: bytes });
      at += bytes.length;
    };
    for (const { start, end } of ranges) {
      addText(
        `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${start}-${end - 1}/${file.size}\r\n\r\n`,
      );
      this.#pieces.push({ at, length: end - start, start });
      at += end - start;
    }
    addText(`\r\n--${boundary}--\r\n`);
    this.size = at;
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    for (const piece of this.#pieces) {
      const from = position + filled - piece.at;
      if (from >= piece.length) continue;
      if (filled === buffer.length) break;
      const length = Math.min(piece.length - from, buffer.length - filled);
      const target = buffer.subarray(filled, filled + length);
      if ('text' in piece) target.set(piece.text.subarray(from, from + length));
      else await this.#file.read(target, piece.start + from);
      filled += length;
    }
    return filled;
  }

  /** Leaves the file open: it is the caller's. */
  async close(): Promise<void> {
    return Promise.resolve();
  }
}

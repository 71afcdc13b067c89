import { createHash } from 'node:crypto';

/** @returns the bytes as a stream of pieces of `size` bytes, each in memory of its own */
export async function* ownPiecesOf(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  return Promise.resolve();
}

/** As {@link ownPiecesOf}, each in memory that is not the taker's any more when the next one is asked for. */
export async function* piecesOf(bytes: Uint8Array, size?: number): AsyncGenerator<Uint8Array> {
  for await (const piece of ownPiecesOf(bytes, size)) {
    const lent = Uint8Array.from(piece);
    yield lent;
    lent.fill(0);
  }
}

/** Reads a stream to its end. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
}

export function sha1(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** As `expect(...).toEqual(...)`, which takes seconds for a megabyte. */
export function expectSame(got: Uint8Array, wanted: Uint8Array): void {
  if (Buffer.compare(got, wanted) === 0) return;
  const at = got.findIndex((byte, index) => byte !== wanted[index]);
  throw new Error(`${got.length} bytes came, ${wanted.length} were wanted; they differ from byte ${at} on`);
}

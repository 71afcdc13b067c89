/** Passes pieces on and tells of each, when it is taken. */
export async function* counted<T extends Uint8Array>(
  pieces: AsyncIterable<T>,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<T> {
  for await (const piece of pieces) {
    yield piece;
    onBytes?.(piece.length);
  }
}

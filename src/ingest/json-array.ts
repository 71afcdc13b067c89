import { messageOf, PacificaError } from '../lib/errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = new Set([0x5b, 0x7b]);
const CLOSE = new Set([0x5d, 0x7d]);
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Reads a JSON document that is an array, one element at a time: a metadata document of hundreds of MB never is in
 * memory as one text, and the process answers others meanwhile.
 * @throws PacificaError `invalid` naming the entry (from 1)
 */
export async function* jsonArray(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let parts: Uint8Array[] = [];
  let depth = 0;
  let inString = false;
  let escaped = false;
  let count = 0;

  const element = (): unknown => {
    const bytes = Buffer.concat(parts);
    parts = [];
    count += 1;
    try {
      return JSON.parse(decoder.decode(bytes)) as unknown;
    } catch (error) {
      throw notJson(`entry ${count}: ${messageOf(error)}`, error);
    }
  };

  let ended = false;
  for await (const chunk of chunks) {
    let start = 0;
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index] ?? 0;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        continue;
      }
      if (depth === 0) {
        if (SPACE.has(byte)) continue;
        if (ended) throw notJson('there is text behind its end');
        if (byte !== 0x5b) throw notJson('it is not an array');
        depth = 1;
        start = index + 1;
      } else if (byte === QUOTE) {
        inString = true;
      } else if (OPEN.has(byte)) {
        depth += 1;
      } else if (CLOSE.has(byte)) {
        depth -= 1;
        if (depth > 0) continue;
        ended = true;
        parts.push(chunk.subarray(start, index));
        start = chunk.length;
        if (count > 0 || !isBlank(parts)) yield element();
      } else if (byte === COMMA && depth === 1) {
        parts.push(chunk.subarray(start, index));
        start = index + 1;
        yield element();
      }
    }
    // the next chunk may lie in the same memory
    if (depth > 0 && start < chunk.length) parts.push(Uint8Array.from(chunk.subarray(start)));
  }
  if (!ended) throw notJson('it ends in the middle, or is empty');
}

function isBlank(parts: readonly Uint8Array[]): boolean {
  return parts.every((part) => part.every((byte) => SPACE.has(byte)));
}

function notJson(what: string, cause?: unknown): PacificaError {
  return new PacificaError('invalid', `the metadata is not a valid JSON array: ${what}`, { cause });
}

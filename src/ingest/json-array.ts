import { messageOf, PacificaError } from '../lib/errors.js';

/** What a byte means to the shape of a document: 0, nothing, for most of them. */
const SPACE = 1;
const QUOTE = 2;
const BACKSLASH = 3;
const OPEN = 4;
const CLOSE = 5;
const COMMA = 6;
const MEANINGS = new Uint8Array(256);
for (const byte of Buffer.from(' \t\n\r')) MEANINGS[byte] = SPACE;
for (const byte of Buffer.from('"')) MEANINGS[byte] = QUOTE;
for (const byte of Buffer.from('\\')) MEANINGS[byte] = BACKSLASH;
for (const byte of Buffer.from('[{')) MEANINGS[byte] = OPEN;
for (const byte of Buffer.from(']}')) MEANINGS[byte] = CLOSE;
for (const byte of Buffer.from(',')) MEANINGS[byte] = COMMA;
const ARRAY = 0x5b;
const END = 0x5d;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a JSON document that is an array, as many elements at a time as a chunk completes: a metadata document of hundreds
 * of MB never is in memory as one text, and the process answers others meanwhile.
 * @param chunks their memory may be used again when the next one is asked for
 * @throws PacificaError `invalid` naming the entry (from 1)
 */
export async function* jsonArray(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown[], void, undefined> {
  /** of elements that no chunk has completed yet */
  let begun: Uint8Array[] = [];
  let depth = 0;
  let inString = false;
  let escaped = false;
  let ended = false;
  /** elements so far */
  let count = 0;

  const complete = (bytes: Uint8Array, elements: number): unknown[] => {
    const text = begun.length === 0 ? bytes : Buffer.concat([...begun, bytes]);
    begun = [];
    if (elements === 1 && count === 0 && ended && isBlank(text)) return [];
    const values = parseElements(text, elements, count);
    count += elements;
    return values;
  };

  for await (const chunk of chunks) {
    let start = 0;
    let end = -1;
    let comma = -1;
    let commas = 0;
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index] ?? 0;
      const meaning = MEANINGS[byte];
      if (inString) {
        if (escaped) escaped = false;
        else if (meaning === BACKSLASH) escaped = true;
        else if (meaning === QUOTE) inString = false;
      } else if (depth === 0) {
        if (meaning === SPACE) continue;
        if (ended) throw notJson('there is text behind its end');
        if (byte !== ARRAY) throw notJson('it is not an array');
        depth = 1;
        start = index + 1;
      } else if (meaning === QUOTE) {
        inString = true;
      } else if (meaning === OPEN) {
        depth += 1;
      } else if (meaning === CLOSE) {
        depth -= 1;
        if (depth > 0) continue;
        if (byte !== END) throw notJson('it ends with a "}"');
        ended = true;
        end = index;
      } else if (meaning === COMMA && depth === 1) {
        commas += 1;
        comma = index;
      }
    }
    if (end !== -1) {
      yield complete(chunk.subarray(start, end), commas + 1);
    } else if (depth > 0) {
      if (commas > 0) {
        yield complete(chunk.subarray(start, comma), commas);
        start = comma + 1;
      }
      begun.push(Uint8Array.from(chunk.subarray(start)));
    }
  }
  if (!ended) throw notJson('it ends in the middle, or is empty');
}

/**
 * @param text elements with commas between them
 * @param count how many there are
 * @param before how many came before them
 */
function parseElements(text: Uint8Array, count: number, before: number): unknown[] {
  try {
    const values = JSON.parse(`[${utf8.decode(text)}]`) as unknown[];
    // a comma too many leaves room for none
    if (values.length === count) return values;
  } catch {
    // which one it is, is told below
  }
  return splitElements(text).map((element, index) => {
    try {
      return JSON.parse(utf8.decode(element)) as unknown;
    } catch (error) {
      throw notJson(`entry ${before + index + 1}: ${messageOf(error)}`, error);
    }
  });
}

function splitElements(text: Uint8Array): Uint8Array[] {
  const elements: Uint8Array[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index < text.length; index += 1) {
    const meaning = MEANINGS[text[index] ?? 0];
    if (meaning === QUOTE) index = endOfString(text, index);
    else if (meaning === OPEN) depth += 1;
    else if (meaning === CLOSE) depth -= 1;
    else if (meaning === COMMA && depth === 0) {
      elements.push(text.subarray(start, index));
      start = index + 1;
    }
  }
  return [...elements, text.subarray(start)];
}

/** @returns where the string that begins at `quote` has its other quote */
function endOfString(text: Uint8Array, quote: number): number {
  let index = quote + 1;
  while (index < text.length && MEANINGS[text[index] ?? 0] !== QUOTE) {
    index += MEANINGS[text[index] ?? 0] === BACKSLASH ? 2 : 1;
  }
  return index;
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => MEANINGS[byte] === SPACE);
}

function notJson(what: string, cause?: unknown): PacificaError {
  return new PacificaError('invalid', `the metadata is not a valid JSON array: ${what}`, { cause });
}

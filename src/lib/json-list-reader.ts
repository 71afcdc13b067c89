import { PacificaError } from './errors.js';

/** longest element of the list, and longest other value, in bytes */
const MOST_BYTES = 1024 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** What stands in the document, in its order: some elements of the long list, or the value of another key. */
export type JsonPart =
  { readonly key: string; readonly items: readonly unknown[] } | { readonly key: string; readonly value: unknown };

/**
 * Reads a JSON object that has one long list, as it arrives: `{"fileids": [...], "bundle": false}`. In memory are a
 * chunk and one element, whatever the length of the list.
 * @param list key of the long list; its value comes as a `value` when it is no list
 * @throws PacificaError `invalid` when it is no JSON object; what `chunks` throws comes out as it is
 */
export async function* readJsonList(chunks: AsyncIterable<Uint8Array>, list: string): AsyncGenerator<JsonPart> {
  const window = new Window(chunks[Symbol.asyncIterator]());
  const first = await window.token();
  if (first !== OPEN_BRACE) {
    const other = first !== undefined && '["-0123456789tfn'.includes(String.fromCharCode(first));
    throw new PacificaError('invalid', other ? 'the body is not a JSON object' : NO_JSON, {
      hint: `send {"${list}": [...]}`,
    });
  }
  window.take();
  if ((await window.token()) === CLOSE_BRACE) window.take();
  else
    for (let more = true; more;) {
      if ((await window.token()) !== QUOTE) throw noJson();
      const key = parse(await window.value()) as string;
      await window.expect(COLON);
      if (key === list && (await window.token()) === OPEN_BRACKET) {
        window.take();
        // an empty list is one too
        yield { key, items: [] };
        for await (const items of elements(window)) yield { key, items };
      } else {
        await window.token();
        yield { key, value: parse(await window.value()) };
      }
      more = (await window.expect(COMMA, CLOSE_BRACE)) === COMMA;
    }
  if ((await window.token()) !== undefined) throw noJson();
}

/** The elements of a list whose bracket was taken, as many at a time as have come. */
async function* elements(window: Window): AsyncGenerator<unknown[]> {
  if ((await window.token()) === CLOSE_BRACKET) {
    window.take();
    return;
  }
  for (;;) {
    const whole = window.wholeElements();
    if (whole !== undefined) {
      yield parse(Buffer.concat([LIST_BEGIN, whole, LIST_END])) as unknown[];
      if ((await window.expect(COMMA, CLOSE_BRACKET)) === CLOSE_BRACKET) return;
    } else {
      yield [parse(await window.value())];
      if ((await window.expect(COMMA, CLOSE_BRACKET)) === CLOSE_BRACKET) return;
    }
    await window.token();
  }
}

const LIST_BEGIN = Buffer.from('[');
const LIST_END = Buffer.from(']');

/** The part of the document that has come and was not used yet. */
class Window {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #ended = false;
  #begun = false;

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** @returns the next byte that is no space, not taken yet; undefined at the end */
  async token(): Promise<number | undefined> {
    for (;;) {
      while (this.#at < this.#bytes.length) {
        const byte = this.#bytes[this.#at];
        if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return byte;
        this.#at += 1;
      }
      if (!(await this.#more())) return undefined;
    }
  }

  /** Takes the byte that {@link token} told. */
  take(): void {
    this.#at += 1;
  }

  async expect(...bytes: number[]): Promise<number> {
    const byte = await this.token();
    if (byte === undefined || !bytes.includes(byte)) throw noJson();
    this.take();
    return byte;
  }

  /** Takes the value that begins here. @returns its text */
  async value(): Promise<Buffer> {
    for (;;) {
      const end = endOfValue(this.#bytes, this.#at, this.#ended);
      if (end !== undefined && end > this.#at) return this.#cut(end);
      if (this.#ended) throw noJson();
      if (this.#bytes.length - this.#at > MOST_BYTES) {
        throw new PacificaError('invalid', `a value in the JSON is longer than ${MOST_BYTES} bytes`);
      }
      await this.#more();
    }
  }

  /** Takes all whole objects of a list that have come, with the commas between them; undefined when there is none. */
  wholeElements(): Buffer | undefined {
    let last: number | undefined;
    for (let at = this.#at; this.#bytes[at] === OPEN_BRACE;) {
      const end = endOfValue(this.#bytes, at, false);
      if (end === undefined) break;
      last = end;
      at = skipSpace(this.#bytes, end);
      if (this.#bytes[at] !== COMMA) break;
      at = skipSpace(this.#bytes, at + 1);
    }
    return last === undefined ? undefined : this.#cut(last);
  }

  #cut(end: number): Buffer {
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    const next = await this.#chunks.next();
    if (next.done === true) {
      this.#ended = true;
      return false;
    }
    this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), next.value]);
    this.#at = 0;
    if (this.#begun) return true;
    if (this.#bytes.length < BOM.length) return (await this.#more()) || this.#bytes.length > 0;
    this.#begun = true;
    // RFC 8259, 8.1: it may be ignored
    if (BOM.equals(this.#bytes.subarray(0, BOM.length))) this.#at = BOM.length;
    return true;
  }
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at += 1;
  return at;
}

/**
 * @param final whether nothing comes after `bytes`
 * @returns where the value ends that begins at `start`, undefined when that has not come; brackets are only counted
 */
function endOfValue(bytes: Buffer, start: number, final: boolean): number | undefined {
  const first = bytes[start];
  if (first === QUOTE) return endOfString(bytes, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
    let at = start;
    // a number or a word
    while (at < bytes.length && /[-+.0-9A-Za-z]/.test(String.fromCharCode(bytes[at] ?? 0))) at += 1;
    if (at === start && at < bytes.length) throw noJson();
    return at < bytes.length || final ? at : undefined;
  }
  let depth = 0;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) {
      const end = endOfString(bytes, at);
      if (end === undefined) return undefined;
      at = end - 1;
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

function endOfString(bytes: Buffer, start: number): number | undefined {
  for (let at = start + 1; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === BACKSLASH) at += 1;
    else if (byte === QUOTE) return at + 1;
  }
  return undefined;
}

const NO_JSON = 'Invalid JSON document';

function noJson(cause?: unknown): PacificaError {
  return new PacificaError('invalid', NO_JSON, { cause });
}

// RFC 8259, 8.1: UTF-8; what is none must not be stored as something else
const utf8 = new TextDecoder('utf-8', { fatal: true });

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(bytes)) as unknown;
  } catch (error) {
    throw noJson(error);
  }
}

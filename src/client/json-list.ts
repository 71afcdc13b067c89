/** bytes that are sent in one piece */
const PIECE = 64 * 1024;

/** What can be gone through several times. */
export type JsonItems = Iterable<object> | AsyncIterable<object>;

/**
 * A JSON array as the body of a request, made piece by piece while it is sent. Its length is counted before: original
 * services answer 411 to a JSON body without one.
 */
export class JsonList {
  /** bytes of the whole text */
  readonly size: number;
  readonly #items: JsonItems;

  private constructor(items: JsonItems, size: number) {
    this.#items = items;
    this.size = size;
  }

  static async of(items: JsonItems): Promise<JsonList> {
    let size = 0;
    for await (const piece of pieces(items)) size += piece.length;
    return new JsonList(items, size);
  }

  /** The text, from its start each time. */
  stream(): AsyncIterable<Uint8Array> {
    return pieces(this.#items);
  }
}

async function* pieces(items: JsonItems): AsyncGenerator<Buffer> {
  let text = '[';
  let first = true;
  for await (const item of items) {
    text += first ? JSON.stringify(item) : `,${JSON.stringify(item)}`;
    first = false;
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(`${text}]`);
}

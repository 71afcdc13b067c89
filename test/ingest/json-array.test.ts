import { describe, expect, it } from 'vitest';
import { jsonArray } from '../../src/ingest/json-array.js';

/** Pieces of a text, each in the memory of the one before it. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    memory.set(part);
    yield memory.subarray(0, part.length);
    memory.fill(0);
    await Promise.resolve();
  }
}

async function read(document: string | Uint8Array, size = 64 * 1024): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const values of jsonArray(pieces(Buffer.from(document), size))) all.push(...values);
  return all;
}

const values = [
  { a: 'x,]}[{"\\', b: [1, [2, { c: ' ' }]] },
  'äöü \u{1f4be} \\" ,',
  -1.5e3,
  null,
  true,
  [],
  {},
  [[], [{}]],
  '',
  '\u0000',
];

describe('a JSON array in pieces', () => {
  it.each([JSON.stringify(values), JSON.stringify(values, undefined, 2), ` \n${JSON.stringify(values)}\t\r\n `])(
    'is what JSON.parse makes of it, whatever the size of the pieces',
    async (document) => {
      const length = Buffer.byteLength(document);
      for (let size = 1; size <= length + 1; size += 1) {
        expect(await read(document, size), `pieces of ${size}`).toEqual(values);
      }
    },
  );

  it.each(['[]', ' [ \n ] '])('may be empty: %j', async (document) => {
    for (const size of [1, 3, 100]) expect(await read(document, size)).toEqual([]);
  });

  it.each([
    ['[1,]', /entry 2/],
    ['[1, 2, ]', /entry 3/],
    ['[,1]', /entry 1/],
    ['[ , ]', /entry 1/],
    ['[1,,2]', /entry 2/],
    ['[1 2]', /entry 1/],
    ['[1, {"a": }, 3]', /entry 2/],
    ['[1, 2, "\n"]', /entry 3/],
    ['[1, "a, ]", {"b": "]", "c"}, 3]', /entry 3/],
    ['[{]', /middle|entry 1/],
    ['[}', /ends with a "}"/],
    ['[1}', /ends with a "}"/],
    ['[1', /middle/],
    ['["a]', /middle/],
    ['["a\\"]', /middle/],
    ['', /middle, or is empty/],
    ['  ', /middle, or is empty/],
    ['{}', /not an array/],
    ['1', /not an array/],
    ['\ufeff[1]', /not an array/],
    ['[\ufeff1]', /entry 1/],
    ['[1] 2', /text behind its end/],
    ['[1]]', /text behind its end/],
    ['[1][2]', /text behind its end/],
  ])('is refused, and the entry told: %j', async (document, message) => {
    for (const size of [1, 2, 3, 5, 100]) {
      await expect(read(document, size), `pieces of ${size}`).rejects.toMatchObject({
        code: 'invalid',
        message: expect.stringMatching(message) as string,
      });
    }
  });

  it('is refused when a text is not UTF-8', async () => {
    const document = Buffer.concat([Buffer.from('[1, "'), Buffer.from([0xc3, 0x28]), Buffer.from('"]')]);
    for (const size of [1, 4, 100]) await expect(read(document, size)).rejects.toThrow(/entry 2/);
  });
});

import { describe, expect, it } from 'vitest';
import { readJsonList } from '../../src/lib/json-list-reader.js';

/** @param size bytes a chunk */
async function* chunks(text: string | Buffer, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text as string);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string | Buffer, size = 1e9): Promise<{ items: unknown[]; others: Record<string, unknown> }> {
  const items: unknown[] = [];
  const others: Record<string, unknown> = {};
  for await (const part of readJsonList(chunks(text, size), 'list')) {
    if ('items' in part) items.push(...part.items);
    else others[part.key] = part.value;
  }
  return { items, others };
}

const DOCUMENT = `\ufeff \n{"a" : [1, {"list": [2]}], "list": [ {"x": "}],\\"\\\\"} ,\t{"y": [[], {}]}, "text", -1.5e3, null,[ ], {"ü": "€\\u00e9"}] ,
  "b": true, "c": "s\\"]", "d" :12}  \n`;

describe('readJsonList', () => {
  it.each([1, 2, 3, 5, 7, 16, 1000])('reads what JSON.parse reads, in chunks of %i bytes', async (size) => {
    const { list, ...others } = JSON.parse(DOCUMENT.slice(1)) as { list: unknown[] };
    expect(await read(DOCUMENT, size)).toEqual({ items: list, others });
  });

  it.each([1, 1000])('takes empty ones (chunks of %i)', async (size) => {
    expect(await read('{}', size)).toEqual({ items: [], others: {} });
    expect(await read('{"list": [ ]}', size)).toEqual({ items: [], others: {} });
    expect(await read('{"list": 5}', size)).toEqual({ items: [], others: { list: 5 } });
  });

  it.each([
    '',
    '   ',
    '{bad',
    '{',
    '{"list"',
    '{"list":',
    '{"list": [',
    '{"list": [{}',
    '{"list": [{}]',
    '{"list": [{}]}}',
    '{"list": [{}]} x',
    '{"list": [{},]}',
    '{"list": [,{}]}',
    '{"list": [{} {}]}',
    '{"list": [{"a": }]}',
    '{"list": [{"a": 1]}',
    '{"list": [1 2]}',
    '{"list": [tru]}',
    '{"list": ["a]}',
    '{"list": [{}],}',
    '{,"list": []}',
    '{"list" []}',
    '{list: []}',
    '{"a": 1 "b": 2}',
    '{"a": 01}',
    '{"a": }',
  ])('refuses %s', async (text) => {
    for (const size of [1, 1000]) {
      await expect(read(text, size)).rejects.toMatchObject({ code: 'invalid', message: 'Invalid JSON document' });
    }
  });

  it.each(['[]', '"x"', '12', 'null', '[{"list": []}]'])('refuses %s, which is no object', async (text) => {
    await expect(read(text)).rejects.toMatchObject({ code: 'invalid', message: 'the body is not a JSON object' });
  });

  it('refuses what is not UTF-8', async () => {
    const text = Buffer.from('{"list": [{"a": "x"}]}');
    text[text.indexOf('x')] = 0xff;
    await expect(read(text)).rejects.toMatchObject({ message: 'Invalid JSON document' });
  });

  it('takes a value of up to a mebibyte, and a list of any length', async () => {
    const long = 'x'.repeat(1_000_000);
    expect((await read(`{"list": [{"a": "${long}"}], "b": "${long}"}`, 65_536)).items).toEqual([{ a: long }]);
    await expect(read(`{"list": [{"a": "${long}${long}"}]}`, 65_536)).rejects.toThrow('longer than 1048576 bytes');
    let most = 0;
    let count = 0;
    const list = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"list": [{}');
      for (let index = 0; index < 1000; index += 1) yield Buffer.from(',{"a": 1}'.repeat(1000));
      yield Buffer.from(']}');
    };
    for await (const part of readJsonList(list(), 'list')) {
      if (!('items' in part)) continue;
      most = Math.max(most, part.items.length);
      count += part.items.length;
    }
    expect(count).toBe(1_000_001);
    expect(most).toBeLessThan(1100);
  });
});

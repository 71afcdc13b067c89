import { expect, test } from 'vitest';
import { Slots } from '../../src/lib/slots.js';

/** A piece of work that ends when it is told to. */
function piece(started: string[], name: string) {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const work = async (): Promise<string> => {
    started.push(name);
    await ended;
    return name;
  };
  return { work, end };
}

test('so much runs at a time, the rest in the order in which it came', async () => {
  const slots = new Slots(2);
  const started: string[] = [];
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => piece(started, name)) as [Piece, Piece, Piece, Piece];
  const all = [a, b, c, d].map(({ work }) => slots.run(work));
  expect(started).toEqual(['a', 'b']);
  b.end();
  await all[1];
  await Promise.resolve();
  expect(started).toEqual(['a', 'b', 'c']);
  for (const { end } of [a, c, d]) end();
  expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd']);
  expect(started).toEqual(['a', 'b', 'c', 'd']);
});

test('work that fails gives its place to the next', async () => {
  const slots = new Slots(1);
  const failing = slots.run(() => Promise.reject(new Error('broken')));
  const next = slots.run(() => Promise.resolve('next'));
  await expect(failing).rejects.toThrow('broken');
  expect(await next).toBe('next');
});

type Piece = ReturnType<typeof piece>;

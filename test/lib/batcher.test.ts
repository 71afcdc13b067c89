import { expect, test } from 'vitest';
import { Batcher } from '../../src/lib/batcher.js';

test('what comes together goes together, in batches that are not too large', async () => {
  const batches: number[][] = [];
  const batcher = new Batcher<number>(async (items) => {
    batches.push(items);
    return Promise.resolve();
  }, 4);
  await Promise.all([1, 2, 3, 4, 5, 6].map((item) => batcher.add(item)));
  expect(batches).toEqual([
    [1, 2, 3, 4],
    [5, 6],
  ]);
});

test('a batch that fails fails for its own items only, and the next goes on', async () => {
  const batcher = new Batcher<number>(async (items) => {
    if (items.includes(1)) throw new Error('broken');
    return Promise.resolve();
  }, 1);
  const results = await Promise.allSettled([1, 2].map((item) => batcher.add(item)));
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  await batcher.add(3);
});

test('idle waits for all that was asked for', async () => {
  let done = 0;
  const batcher = new Batcher<number>(async (items) => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    done += items.length;
  }, 1);
  void batcher.add(1);
  void batcher.add(2);
  await batcher.idle();
  expect(done).toBe(2);
});

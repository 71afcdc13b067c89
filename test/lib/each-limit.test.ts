import { expect, it } from 'vitest';
import { eachLimit } from '../../src/lib/each-limit.js';

const numbers = Array.from({ length: 20 }, (_, index) => index);

async function* later(): AsyncGenerator<number> {
  for (const number of numbers) {
    await Promise.resolve();
    yield number;
  }
}

const SOURCES: [string, () => Iterable<number> | AsyncIterable<number>][] = [
  ['an array', () => numbers],
  ['a generator that waits', later],
];

it.each(SOURCES)('goes through %s in its order, no more at a time than it may', async (_, items) => {
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  await eachLimit(items(), 3, async (number) => {
    begun.push(number);
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
  });
  expect(begun).toEqual(numbers);
  expect(most).toBe(3);
});

it.each(SOURCES)('begins nothing more of %s after a failure, and waits for what runs', async (_, items) => {
  const begun: number[] = [];
  let ended = 0;
  const work = async (number: number): Promise<void> => {
    begun.push(number);
    if (number === 4) throw new Error('the fifth');
    await new Promise(setImmediate);
    ended += 1;
  };
  await expect(eachLimit(items(), 3, work)).rejects.toThrow('the fifth');
  expect(begun.length).toBeLessThan(9);
  expect(ended).toBe(begun.length - 1);
});

it('throws what the items throw, when what runs has ended', async () => {
  let ended = 0;
  const broken = async function* (): AsyncGenerator<number> {
    yield* [1, 2];
    await Promise.resolve();
    throw new Error('no more');
  };
  const work = async (): Promise<void> => {
    await new Promise(setImmediate);
    ended += 1;
  };
  await expect(eachLimit(broken(), 3, work)).rejects.toThrow('no more');
  expect(ended).toBe(2);
});

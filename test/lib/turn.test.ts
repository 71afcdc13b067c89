import { expect, test } from 'vitest';
import { Turn } from '../../src/lib/turn.js';
import { countingTurns } from '../support/counting-turns.js';

test('what passes in one turn of the event loop is limited, however many ask', async () => {
  const turn = new Turn(10);
  const passed = new Map<number, number>();
  await countingTurns((now) =>
    Promise.all(
      Array.from({ length: 12 }, async () => {
        await turn.take(5);
        passed.set(now(), (passed.get(now()) ?? 0) + 5);
      }),
    ),
  );
  expect([...passed.values()]).toEqual([10, 10, 10, 10, 10, 10]);
});

test('one that never has to wait for its socket leaves the others their part', async () => {
  const turn = new Turn(10);
  const order: string[] = [];
  const transfer = async (name: string): Promise<void> => {
    for (let piece = 0; piece < 4; piece += 1) {
      await turn.take(5);
      order.push(name);
    }
  };
  await Promise.all(['a', 'b', 'c'].map(transfer));
  expect(order.slice(0, 6).sort()).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
});

test('a piece larger than the limit passes as the first one of a turn', async () => {
  const turn = new Turn(10);
  expect(turn.take(100)).toBeUndefined();
  const next = turn.take(100);
  expect(next).toBeInstanceOf(Promise);
  await next;
  // that was another turn, and is over with the next one
  await new Promise(setImmediate);
  expect(turn.take(1)).toBeUndefined();
});

import { expect, test } from 'vitest';
import { Turn } from '../../src/lib/turn.js';

test('what passes in one turn of the event loop is limited, however many ask', async () => {
  const turn = new Turn(10);
  const passed: number[] = [];
  let now = 0;
  const counting = setInterval(() => undefined, 1000);
  const tick = (): void => {
    now += 1;
    if (now < 20) setImmediate(tick);
  };
  setImmediate(tick);
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      if (!turn.hasRoom) await turn.room();
      turn.pass(5);
      passed[now] = (passed[now] ?? 0) + 5;
    }),
  );
  clearInterval(counting);
  expect(passed.reduce((sum, bytes) => sum + bytes, 0)).toBe(60);
  expect(Math.max(...passed.filter((bytes) => bytes > 0))).toBe(10);
});

test('a piece larger than the limit passes by itself', async () => {
  const turn = new Turn(10);
  expect(turn.hasRoom).toBe(true);
  turn.pass(100);
  expect(turn.hasRoom).toBe(false);
  await turn.room();
  expect(turn.hasRoom).toBe(true);
});

import { pino } from 'pino';
import { beforeEach, expect, it } from 'vitest';
import { Sweeps } from '../../src/daemon/sweeps.js';

interface Line {
  level: number;
  msg: string;
  sweep?: string;
  seconds?: number;
  err?: { message: string };
}

let lines: Line[];
let now: number;
let sweeps: Sweeps;

beforeEach(() => {
  lines = [];
  now = 0;
  sweeps = new Sweeps(pino({}, { write: (line: string) => lines.push(JSON.parse(line) as Line) }), () => now);
});

/** Sweeps every 5 s. @returns what was logged meanwhile */
async function sweepFor(seconds: number): Promise<Line[]> {
  const before = lines.length;
  for (const end = now + seconds * 1000; now < end; now += 5000) await sweeps.run();
  return lines.slice(before);
}

it('tells of a sweep that fails once, then once a minute for how long, and when it is well again', async () => {
  let down = false;
  let others = 0;
  sweeps.add('cart', () => (down ? Promise.reject(new Error('no queue')) : Promise.resolve()));
  sweeps.add('ingest', () => Promise.resolve((others += 1)));
  expect(await sweepFor(60)).toEqual([]);
  down = true;
  expect(await sweepFor(60)).toMatchObject([
    { level: 50, sweep: 'cart', err: { message: 'no queue' }, msg: 'can not put right what was left behind: no queue' },
  ]);
  const later = await sweepFor(180);
  expect(later.map(({ seconds }) => seconds)).toEqual([60, 120, 180]);
  expect(later[2]).toMatchObject({
    level: 50,
    msg: 'can not put right what was left behind, for 3 minutes now: no queue',
  });
  down = false;
  expect(await sweepFor(60)).toMatchObject([
    { level: 30, sweep: 'cart', seconds: 240, msg: 'what was left behind is put right again, after 4 minutes' },
  ]);
  // the others go on
  expect(others).toBe(72);
  // new trouble is told at once
  down = true;
  expect(await sweepFor(5)).toHaveLength(1);
});

it('tells of each sweep apart', async () => {
  for (const name of ['cart', 'ingest']) sweeps.add(name, () => Promise.reject(new Error(name)));
  expect((await sweepFor(30)).map(({ sweep }) => sweep)).toEqual(['cart', 'ingest']);
});

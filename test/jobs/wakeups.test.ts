import { expect, it } from 'vitest';
import { FaultLog } from '../../src/jobs/fault-log.js';
import { type DueTime } from '../../src/jobs/store.js';
import { Wakeups } from '../../src/jobs/wakeups.js';
import { silent } from '../support/log.js';
import { until } from '../support/until.js';

it('looks again, with longer and longer waits, while the database is away', async () => {
  const looks: number[] = [];
  const due = async (): Promise<DueTime[]> => {
    looks.push(performance.now());
    if (looks.length < 4) throw new Error('the database is away');
    return [{ kind: 'cart', at: new Date(0) }];
  };
  const faults = new FaultLog(silent);
  // so long that the second look is none of the regular ones
  const lookEvery = 600_000;
  const store = { due };
  const wakeups = new Wakeups({ store, kinds: ['cart'], channel: undefined, worker: 'me', lookEvery, faults });
  const called: string[] = [];
  await wakeups.local.connect();
  wakeups.local.subscribe(({ jobName }) => void called.push(jobName));
  wakeups.start();
  await until('the call', () => called.length > 0);
  wakeups.stop();
  expect(called).toEqual(['cart']);
  expect(faults.total).toBe(3);
  const waits = looks.slice(1).map((at, index) => at - (looks[index] ?? 0));
  // between half of and all of 200, 400, 800 ms
  expect(waits.map((wait, index) => wait >= 100 * 2 ** index - 5)).toEqual([true, true, true]);
});

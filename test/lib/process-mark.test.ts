import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { isDead, processMark } from '../../src/lib/process-mark.js';

test('this process runs', () => {
  expect(isDead(processMark())).toBe(false);
});

test('a process that ended does not, nor one whose number another has now', async () => {
  const [machine = '', , start = ''] = processMark().split('.');
  const child = spawn(process.execPath, ['-e', '']);
  const pid = child.pid ?? 0;
  await once(child, 'exit');
  expect(isDead(`${machine}.${pid}.${start}`)).toBe(true);
  if (process.platform === 'linux') expect(isDead(`${machine}.${process.pid}.1`)).toBe(true);
});

test.each(['', 'litter', '0123456789ab.1.1', `${processMark()}.more`])('of %j nothing is known', (mark) => {
  expect(isDead(mark)).toBeUndefined();
});

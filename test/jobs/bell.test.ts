import { statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type JobNotification, toJobId } from 'agenda';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Bell } from '../../src/jobs/sqlite/bell.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { until } from '../support/until.js';

let folder: string;
let file: string;
let bells: Bell[];
let heard: string[];

beforeEach(async () => {
  folder = await temporaryFolder();
  // longer than the path of a socket may be
  file = join(folder, `${'long-'.repeat(40)}bell`);
  bells = [];
  heard = [];
});
afterEach(async () => {
  for (const bell of bells) await bell.disconnect();
  await removeFolder(folder);
});

async function bell(): Promise<Bell> {
  const one = new Bell(file);
  one.on('error', () => undefined);
  await one.connect();
  bells.push(one);
  return one;
}

function about(jobName: string): JobNotification {
  return { jobId: toJobId('7'), jobName, nextRunAt: null, priority: 0, timestamp: new Date() };
}

async function pair(): Promise<{ rings: Bell; hears: Bell }> {
  const [rings, hears] = [await bell(), await bell()];
  hears.subscribe(({ jobName }) => void heard.push(jobName));
  return { rings, hears };
}

it('is heard by others, line by line, in order', async () => {
  const { rings } = await pair();
  const names = Array.from({ length: 200 }, (_, n) => `job ${n}`);
  for (const name of names) await rings.publish(about(name));
  await until('all', () => heard.length === names.length);
  expect(heard).toEqual(names);
});

it('does not tell of what rang before it listened', async () => {
  await (await bell()).publish(about('before'));
  const { rings } = await pair();
  await rings.publish(about('after'));
  await until('the call', () => heard.length > 0);
  expect(heard).toEqual(['after']);
});

it('does not grow without end, and tells listeners that calls may be lost', async () => {
  const { rings, hears } = await pair();
  const states: unknown[] = [];
  hears.on('stateChange', (state) => states.push(state));
  writeFileSync(file, 'x'.repeat(1024 * 1024 + 1));
  await rings.publish(about('new'));
  await until('the new begin', () => states.includes('connected'));
  expect(statSync(file).size).toBeLessThan(1000);
  await rings.publish(about('next'));
  await until('the next call', () => heard.includes('next'));
});

it.each([
  { what: 'deleted', change: unlinkSync },
  { what: 'cut', change: truncateSync },
])('comes back by itself when its file is $what', async ({ change }) => {
  const { rings, hears } = await pair();
  await rings.publish(about('before'));
  await until('the call', () => heard.includes('before'));
  const states: unknown[] = [];
  hears.on('stateChange', (state) => states.push(state));
  change(file);
  await until('return', () => states.includes('connected') && rings.state === 'connected');
  await rings.publish(about('after'));
  await until('the call', () => heard.includes('after'));
});

it('takes no notice of a line that nobody wrote whole', async () => {
  const { rings } = await pair();
  writeFileSync(file, '{"jobName": "half\n', { flag: 'a' });
  await rings.publish(about('whole'));
  await until('the call', () => heard.length > 0);
  expect(heard).toEqual(['whole']);
});

it('reports a file that can not be made, and rings once it can', async () => {
  const bad = new Bell(join(folder, 'no-such-folder', 'bell'));
  const errors: unknown[] = [];
  bad.on('error', (error) => errors.push(error));
  await expect(bad.connect()).rejects.toThrow(/ENOENT/);
  expect(errors).toHaveLength(1);
  await expect(bad.publish(about('x'))).rejects.toThrow(/not connected/);
  await bad.disconnect();
});

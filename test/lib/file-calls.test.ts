import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeFile, openFile, unlinkFile, writeSome } from '../../src/lib/file-calls.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

const { openSync } = fs;
let folder: string;
let atOnce = 0;

/** @param ms that the file system takes to answer */
function answerAfter(ms: number): void {
  fs.openSync = (...args) => {
    atOnce += 1;
    if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    return openSync(...args);
  };
  syncBuiltinESMExports();
}

beforeEach(async () => {
  folder = await temporaryFolder();
  atOnce = 0;
});

afterEach(async () => {
  fs.openSync = openSync;
  syncBuiltinESMExports();
  await removeFolder(folder);
});

async function openMany(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await closeFile(await openFile(join(folder, 'a'), 'w'));
}

test('of many calls in one turn of the event loop only some are made at once: together they hold up everybody else', async () => {
  answerAfter(0.5);
  const many = Array.from({ length: 100 }, () => openFile(join(folder, 'a'), 'w'));
  const first = atOnce;
  expect(first).toBeGreaterThan(1);
  expect(first).toBeLessThan(60);
  for (const fd of await Promise.all(many)) await closeFile(fd);
  // it is another turn by now
  await new Promise(setImmediate);
  await closeFile(await openFile(join(folder, 'a'), 'w'));
  expect(atOnce).toBe(first + 1);
});

test('calls are made at once where the file system answers, and not where it lets them wait', async () => {
  answerAfter(0);
  await openMany(10);
  expect(atOnce).toBe(10);
  answerAfter(30);
  atOnce = 0;
  await openMany(10);
  expect(atOnce).toBe(1);
});

test('errors are those of Node, both ways', async () => {
  await expect(unlinkFile(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT', syscall: 'unlink' });
  answerAfter(30);
  await openMany(2);
  await expect(unlinkFile(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT', syscall: 'unlink' });
  const fd = await openFile(join(folder, 'b'), 'w');
  expect(await writeSome(fd, Buffer.from('abc'), 1)).toBe(2);
  await closeFile(fd);
  expect(fs.readFileSync(join(folder, 'b'), 'utf8')).toBe('bc');
});

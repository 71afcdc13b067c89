import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eachLimit } from '../../src/lib/each-limit.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { changes, prepare } from '../storage/backends/posix/changes.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { emptyFolders, filesBelow } from '../support/tree.js';

const CHILD = join(import.meta.dirname, '..', 'storage', 'backends', 'posix', 'crash-child.ts');

describe.each(Object.entries(changes))('kill -9 before any step of %s', (name, change) => {
  test('old or new, whole; what was promised is there; the sweep leaves nothing', async () => {
    const folder = await temporaryFolder();
    let last = false;
    let steps = 0;
    const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
    await eachLimit(numbers, 4, async (number) => {
      if (last) return;
      const round = join(folder, String(number));
      const root = join(round, 'archive');
      const backend = new PosixBackend(root, { useId2filename: true });
      const file = await prepare(backend, round, change);
      const child = spawn(process.execPath, ['--import', 'tsx/esm', CHILD, root, round, name, String(number)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await once(child, 'close');
      steps += 1;
      const text = await readFile(file, 'utf8').catch(() => undefined);
      const context = `${name}, killed before step ${number}`;
      if (said.includes('done')) {
        last = true;
        expect([context, text]).toEqual([context, change.after]);
      } else {
        expect([context, [change.before, change.after].includes(text)]).toEqual([context, true]);
      }
      await backend.sweep();
      const left = await filesBelow(join(root, '.pacifica', 'tmp'));
      expect([context, left]).toEqual([context, []]);
      expect([context, await emptyFolders(root, ['.pacifica'])]).toEqual([context, []]);
    });
    expect(last).toBe(true);
    expect(steps).toBeGreaterThan(change.leastSteps);
    await removeFolder(folder);
  });
});

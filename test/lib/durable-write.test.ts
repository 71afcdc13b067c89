import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FolderSyncer, makeFolder, writeFileDurably } from '../../src/lib/durable-write.js';
import { injectFaults } from '../support/fault-fs.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

let folder: string;

beforeEach(async () => {
  folder = await temporaryFolder();
});

afterEach(() => removeFolder(folder));

test('callers that ask while a sync runs share the next one', async () => {
  let syncs = 0;
  const restore = await injectFaults(({ name }) => {
    if (name === 'sync') syncs += 1;
    return 'slow';
  });
  const syncer = new FolderSyncer();
  await Promise.all(Array.from({ length: 50 }, () => syncer.sync(folder)));
  restore();
  expect(syncs).toBe(2);
});

test('new folders are synced into those above them', async () => {
  let syncs = 0;
  const restore = await injectFaults(({ name }) => {
    if (name === 'sync') syncs += 1;
    return undefined;
  });
  await makeFolder(join(folder, 'a', 'b', 'c'));
  await makeFolder(join(folder, 'a', 'b', 'c'));
  restore();
  expect(syncs).toBe(3);
  expect((await stat(join(folder, 'a', 'b', 'c'))).isDirectory()).toBe(true);
});

test('a small file is replaced as a whole, or stays as it was', async () => {
  const path = join(folder, 'mark');
  await writeFileDurably(path, 'old');
  const restore = await injectFaults(({ name }) => (name === 'rename' ? 'EIO' : undefined));
  await expect(writeFileDurably(path, 'new')).rejects.toMatchObject({ code: 'EIO' });
  restore();
  expect(await readFile(path, 'utf8')).toBe('old');
  expect(await readdir(folder)).toEqual(['mark']);
  await writeFileDurably(path, 'new');
  expect(await readFile(path, 'utf8')).toBe('new');
});

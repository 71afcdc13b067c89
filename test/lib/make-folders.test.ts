import { existsSync } from 'node:fs';
import { stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Extraction } from '../../src/cli/extract.js';
import { makeFolder } from '../../src/lib/durable-write.js';
import { makeFolders } from '../../src/lib/make-folders.js';
import { pacifica } from '../support/cli.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => removeFolder(folder));

it('makes what is missing, and tells the first that it made', async () => {
  const path = join(folder, 'a', 'b', 'c');
  expect(await makeFolders(path)).toBe(join(folder, 'a'));
  expect((await stat(path)).isDirectory()).toBe(true);
  expect(await makeFolders(path)).toBeUndefined();
  expect(await makeFolders(`${path}/`)).toBeUndefined();
  expect(await makeFolders('/')).toBeUndefined();
  const many = Array.from({ length: 20 }, (_, index) => makeFolders(join(folder, 'x', 'y', String(index % 3))));
  const made = await Promise.all(many);
  expect(made.filter((first) => first === join(folder, 'x'))).toHaveLength(1);
});

it('says what is in the way', async () => {
  await writeFile(join(folder, 'file'), '');
  await symlink(join(folder, 'nowhere'), join(folder, 'link'));
  await expect(makeFolders(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolders(join(folder, 'file', 'x'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(makeFolders(join(folder, 'link'))).rejects.toMatchObject({ code: 'EEXIST' });
});

it.skipIf(!existsSync('/proc/self'))(
  'ends where nothing can be made, though all that is missing is not there',
  async () => {
    await expect(makeFolders('/proc/pacifica/data')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(makeFolder('/proc/pacifica/data')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(new Extraction('/proc/pacifica/data', () => undefined).folder('a')).rejects.toThrow(
      /can not make the folder \/proc\/pacifica\/data/,
    );
    const commands = ['db sync', 'serve', 'cart list'].map((command) =>
      pacifica([...command.split(' '), '--data-dir', '/proc/pacifica']),
    );
    const [sync, serve, list] = await Promise.all(commands);
    for (const result of [sync, serve]) {
      expect(result).toMatchObject({
        code: 7,
        stderr: expect.stringMatching(
          /^Error: can not write .*\/proc\/pacifica.*ENOENT.*\n Hint: .*--data-dir/,
        ) as string,
      });
    }
    expect(list?.code).toBe(3);
  },
);

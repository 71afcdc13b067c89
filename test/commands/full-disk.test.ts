import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliCommand, cliEnv, pacifica } from '../support/cli.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

// Linux: every write to /dev/full fails with ENOSPC, as one to a file on a full disk does

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  writeFileSync(join(folder, 'file'), 'file');
  expect((await pacifica(['db', 'sync', '--data-dir', folder])).code).toBe(0);
});
afterAll(() => removeFolder(folder));

/** Runs a command whose output goes to a full disk. */
function toFullDisk(args: readonly string[]): Promise<{ code: unknown; stderr: string }> {
  return new Promise((resolve) => {
    const shell = ['-c', 'exec "$@" >/dev/full', 'sh', ...cliCommand, ...args];
    execFile('sh', shell, { env: cliEnv(), cwd: folder }, (error, _stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stderr }),
    );
  });
}

describe.runIf(process.platform === 'linux')('output to a full disk', () => {
  it.each([
    ['text', 'ingest list --data-dir .'],
    ['a stream', 'ingest upload file -p 1 -i 1 -s 1 --dry-run'],
  ])('%s: one message, and what can be done', async (_, command) => {
    expect(await toFullDisk(command.split(' '))).toEqual({
      code: 1,
      stderr:
        'Error: can not write to standard output: ENOSPC: no space left on device, write\n' +
        ' Hint: free space there, or raise the quota\n',
    });
  });

  it('a bundle that is kept: the file is named', async () => {
    const { code, stderr } = await pacifica(
      ['ingest', 'upload', 'file', '-p', '1', '-i', '1', '-s', '1', '--save', '/dev/full'],
      { cwd: folder },
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Error: can not write \/dev\/full: ENOSPC.*\n Hint: free space there/);
  });
});

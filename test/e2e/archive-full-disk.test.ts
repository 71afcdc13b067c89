import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { curl } from '../support/curl.js';
import { type Daemon, startDaemon } from '../support/serve.js';
import { expectSame } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { filesBelow } from '../support/tree.js';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;
if (!canMount) console.warn('not root on Linux: a full disk can not be tried here, its tests are skipped');

let folder: string;
let small: string;
let daemon: Daemon | undefined;

beforeEach(async () => {
  folder = await temporaryFolder();
  small = join(folder, 'small');
  await mkdir(small);
  if (canMount) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', small]);
});

afterEach(async () => {
  await daemon?.stop('SIGKILL');
  if (canMount) execFileSync('umount', [small]);
  await removeFolder(folder);
});

async function put(url: string, id: number, bytes: Uint8Array): Promise<{ status: number; message: string }> {
  const answer = await curl(
    ['-T', '-', '-H', 'Transfer-Encoding:', '-H', `Content-Length: ${bytes.length}`, `${url}/${id}`],
    bytes,
  );
  return { status: answer.status, message: (answer.json() as { message: string }).message };
}

test.runIf(canMount)('the archive on a full disk: 507, nothing half, the old files whole', async () => {
  daemon = await startDaemon([
    'archive',
    'serve',
    '--data-dir',
    join(folder, 'data'),
    '--prefix',
    join(small, 'archive'),
    '-p',
    '0',
  ]);
  const url = daemon.urls.archive ?? '';
  const files = Array.from({ length: 10 }, () => randomBytes(10_000_000));
  const answers = [];
  for (const [id, bytes] of files.entries()) answers.push(await put(url, id, bytes));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201, 507, 507, 507, 507]);
  expect(answers[6]?.message).toContain('free space');
  // also in place of a file that is there, and many at once
  expect((await put(url, 0, randomBytes(20_000_000))).status).toBe(507);
  const crowd = await Promise.all(
    Array.from({ length: 6 }, (_, index) => put(url, 100 + index, randomBytes(8_000_000))),
  );
  expect(crowd.every(({ status }) => status === 507)).toBe(true);
  expect(await filesBelow(join(small, 'archive'))).toEqual(['0', '1', '2', '3', '4', '5']);
  for (let id = 0; id < 6; id += 1) expectSame((await curl([`${url}/${id}`])).body, files[id] ?? Buffer.alloc(0));
  // room again
  expect((await curl(['-X', 'DELETE', `${url}/3`])).status).toBe(200);
  expect((await put(url, 6, files[6] ?? Buffer.alloc(0))).status).toBe(201);
});

test.runIf(canMount)('the database on a full disk: 507, and nothing is stored without a record', async () => {
  daemon = await startDaemon([
    'archive',
    'serve',
    '--data-dir',
    join(small, 'data'),
    '--prefix',
    join(folder, 'archive'),
    '-p',
    '0',
  ]);
  const url = daemon.urls.archive ?? '';
  expect((await put(url, 1, Buffer.from('old'))).status).toBe(201);
  execFileSync('sh', ['-c', `cat /dev/zero > "${small}/filler" || true`], { stdio: 'ignore' });
  // what is left in the last pages of the database's files may be used up first
  const answers = new Set<number>();
  for (let id = 1; id < 20; id += 1) answers.add((await put(url, id, Buffer.from('new'))).status);
  answers.delete(201);
  expect([...answers]).toEqual([507]);
  expect((await put(url, 20, Buffer.from('new'))).status).toBe(507);
  expect((await curl([`${url}/20`])).status).toBe(404);
  execFileSync('rm', [join(small, 'filler')]);
  expect((await put(url, 20, Buffer.from('new'))).status).toBe(201);
});

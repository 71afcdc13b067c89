import { request } from 'node:http';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../support/serve.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

let data: string;
let root: string;
let daemons: Daemon[] = [];

beforeEach(async () => {
  data = await temporaryFolder();
  root = join(data, 'archive');
});

afterEach(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
  daemons = [];
  await removeFolder(data);
});

async function start(env: NodeJS.ProcessEnv = {}): Promise<string> {
  const daemon = await startDaemon(['archive', 'serve', '--data-dir', data, '-p', '0'], env);
  daemons.push(daemon);
  return daemon.urls.archive ?? '';
}

test.each([
  ['If-None-Match: *', { 'If-None-Match': '*' }, {}, 412],
  ['write-once', {}, { PACIFICA_ARCHIVEINTERFACE_WRITE_ONCE: 'on' }, 409],
])('two archives on one data folder, %s: of two that make one id one wins', async (_name, headers, env, refused) => {
  const urls = await Promise.all([start(env), start(env)]);
  const ids = Array.from({ length: 60 }, (_, index) => String(index));
  await Promise.all(
    ids.map(async (id) => {
      const answers = await Promise.all(
        urls.map(async (url) => {
          const answer = await fetch(`${url}/${id}`, { method: 'PUT', body: `${url} ${id}`, headers });
          return { url, status: answer.status };
        }),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([201, refused]);
      const winner = answers.find(({ status }) => status === 201)?.url ?? '';
      expect(await readFile(join(root, id), 'utf8')).toBe(`${winner} ${id}`);
    }),
  );
  expect(await filesBelow(join(root, '.pacifica'))).toEqual([]);
});

test('a second archive on the data folder leaves alone what the first one is writing', async () => {
  const first = await start();
  const upload = request(`${first}/1`, { method: 'PUT', headers: { 'Content-Length': 10 } });
  const answered = new Promise<number | undefined>((resolve, reject) => {
    upload.once('response', (answer) => resolve(answer.resume().statusCode));
    upload.once('error', reject);
  });
  upload.write('01234');
  const temporary = join(root, '.pacifica', 'tmp');
  const names = async (): Promise<string[]> => readdir(temporary).catch(() => []);
  await until('the upload is being written', async () => (await names()).length === 1);
  const [writing] = await names();
  // what a killed process left shows when the sweep of the second one is over
  const killed = await start();
  const cut = request(`${killed}/2`, { method: 'PUT', headers: { 'Content-Length': 10 } });
  cut.once('error', () => undefined);
  cut.write('01234');
  await until('the other upload is being written', async () => (await names()).length === 2);
  await daemons[1]?.stop('SIGKILL');
  await start();
  await until('the litter of the killed process is swept', async () => (await names()).length === 1);
  expect(await names()).toEqual([writing]);
  upload.end('56789');
  expect(await answered).toBe(201);
  expect(await readFile(join(root, '1'), 'utf8')).toBe('0123456789');
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cliCommand, cliEnv } from '../support/cli.js';
import { type Daemon, startServe } from '../support/serve.js';
import { type TcpGate, tcpGate } from '../support/tcp-gate.js';
import { until } from '../support/until.js';

// the script of docs/ingest.md, as it stands there

const page = readFileSync(resolve(import.meta.dirname, '../../docs/ingest.md'), 'utf8');
const script = /```sh\n(#!\/bin\/sh\n.*?)```/s.exec(page)?.[1] ?? '';

const home = mkdtempSync(join(tmpdir(), 'pacifica-bulk-'));
const incoming = join(home, 'incoming folder');
let daemon: Daemon;
/** a way to the service that is cut, and a run on it: it tries for half a minute, beside all the others */
let gate: TcpGate;
let later: Run;
let refused: Promise<Outcome>;
beforeAll(async () => {
  daemon = await startServe(join(home, 'data'));
  mkdirSync(join(home, 'bin'));
  writeFileSync(join(home, 'bulk-ingest'), script);
  writeFileSync(
    join(home, 'bin/pacifica'),
    `#!/bin/sh\nexec ${cliCommand.map((word) => `'${word}'`).join(' ')} "$@"\n`,
  );
  for (const file of ['bulk-ingest', 'bin/pacifica']) chmodSync(join(home, file), 0o755);
  gate = await tcpGate(Number(new URL(daemon.urls.ingest ?? '').port));
  await gate.down();
  later = { url: `http://127.0.0.1:${gate.port}`, folder: join(home, 'later') };
  write('run7/g', 'g', later.folder);
  refused = bulkIngest(later);
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Run {
  url?: string;
  folder?: string;
  kill?: Promise<unknown>;
}

async function bulkIngest({ url = daemon.urls.ingest, folder = incoming, kill }: Run = {}): Promise<Outcome> {
  const env = cliEnv({
    PATH: `${join(home, 'bin')}:${process.env.PATH}`,
    PACIFICA_INGEST_URL: url,
    PROJECT: '1234a',
    INSTRUMENT: '54',
    SUBMITTER: '10',
  });
  const child = spawn('./bulk-ingest', [folder], { cwd: home, env, detached: true });
  const ended = once(child, 'close') as Promise<[number | null]>;
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  void kill?.then(() => process.kill(-Number(child.pid), 'SIGKILL'));
  const [code] = await ended;
  return { code, stdout, stderr };
}

function write(path: string, content: string | Buffer, folder = incoming): void {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), content);
}

/** Names of all files that were ingested, as often as they were. */
async function ingested(): Promise<string[]> {
  const files = (await (await fetch(`${daemon.urls.catalog}/files`)).json()) as { subdir: string; name: string }[];
  return files.map(({ subdir, name }) => `${subdir}/${name}`).sort();
}

it('sends each folder once, however often it is run', async () => {
  write('run 1/a', 'a');
  write('run 1/sub/b', 'b');
  write('-run2/c', 'c');
  const first = await bulkIngest();
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(first.stdout).toMatch(/^\.\/-run2 is in, job 1\n\.\/run 1 is in, job 2\n$/);
  expect(await bulkIngest()).toEqual({ code: 0, stdout: '', stderr: '' });
  write('run3/d', 'd');
  expect((await bulkIngest()).stdout).toBe('./run3 is in, job 3\n');
  expect(await ingested()).toEqual(['-run2/c', 'run 1/a', 'run 1/sub/b', 'run3/d']);
});

it('run again after it was killed while it waited, it does not ingest twice', async () => {
  write('run4/e', Buffer.alloc(3_000_000, 'e'));
  const newest = async (): Promise<boolean> => (await fetch(`${daemon.urls.ingest}/get_state?job_id=4`)).ok;
  const { code } = await bulkIngest({ kill: until('the job', newest) });
  expect(code).toBeNull();
  expect(existsSync(join(incoming, 'run4.job'))).toBe(false);
  const again = await bulkIngest();
  expect(again).toMatchObject({ code: 0 });
  expect(again.stdout).toMatch(/^\.\/run4 is in, job \d+\n$/);
  expect((await ingested()).filter((path) => path === 'run4/e')).toHaveLength(1);
});

it('says what can not pass with 1', async () => {
  // two paths that differ only in what metadata cleans away can not be: a name that is not UTF-8 can not be sent
  mkdirSync(join(incoming, 'run5'));
  writeFileSync(Buffer.concat([Buffer.from(join(incoming, 'run5/')), Buffer.from([0xff])]), 'x');
  write('run6/f', 'f');
  const first = await bulkIngest();
  expect(first.code).toBe(1);
  expect(first.stderr).toContain('run5: failed with 2');
  expect(first.stdout).toMatch(/^\.\/run6 is in/);
});

it('says what has to be tried later with 5', async () => {
  expect(await refused).toMatchObject({ code: 5, stdout: '' });
  expect((await refused).stderr).toContain('run7: try again later');
  await gate.up();
  expect((await bulkIngest(later)).stdout).toMatch(/^\.\/run7 is in/);
  await gate.down();
});

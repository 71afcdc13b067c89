import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Daemon, startServe } from '../support/serve.js';

// what README tells a newcomer to type works as it stands there, but for the ports

const PORTS: Record<string, string> = {
  archive: 'http://127.0.0.1:8080',
  cart: 'http://127.0.0.1:8081',
  ingest: 'http://127.0.0.1:8066',
  proxy: 'http://127.0.0.1:8180',
  catalog: 'http://127.0.0.1:8121',
};
const root = resolve(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/```sh\n(.*?)```/gs)].map((match) => match[1] ?? '');

let home: string;
let daemon: Daemon;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-readme-'));
  daemon = await startServe(join(home, 'my-data'));
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

/** Runs a block in the folder of the test, as bash does with a person's lines. */
function run(block: string) {
  let text = block;
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const [service, wellKnown] of Object.entries(PORTS)) {
    const url = daemon.urls[service] ?? '';
    text = text.replaceAll(wellKnown, url);
    env[`PACIFICA_${service.toUpperCase()}_URL`] = url;
  }
  const script = `set -euo pipefail\npacifica() { node '${root}/bin/run.js' "$@"; }\n${text}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], { cwd: home, env, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
}

it('the two commands stand there, and the server is started as the test does it', () => {
  expect(blocks[0]).toContain('npm ci && npm run demo');
  expect(blocks[0]).toContain('npm ci && npm test');
  expect(blocks[1]?.trim()).toBe('node bin/run.js serve --data-dir ./my-data');
  expect(blocks).toHaveLength(5);
});

it('the first ten minutes work: with the command line', () => {
  const out = run(blocks[2] ?? '');
  expect(readFileSync(join(home, 'copy.txt'), 'utf8')).toBe(readFileSync(join(home, 'experiment/run.txt'), 'utf8'));
  expect(out).toContain('disk');
});

it('the first ten minutes work: with curl and tar', () => {
  // the job goes on while the script asks for the file: as a person, the lines are not typed within milliseconds
  const lines = run(
    (blocks[3] ?? '').replace(/^curl 'http.*get_state.*$/m, 'until $& | grep -q \'"complete": true\'; do :; done; $&'),
  );
  expect(lines).toContain('"task": "ingest metadata"');
  expect(lines).toContain(readFileSync(join(home, 'data/notes.txt'), 'utf8'));
});

it('the first ten minutes work: a cart of both', () => {
  const out = run(blocks[4] ?? '');
  expect(out).toContain('my_cart/experiment/run.txt');
  expect(out).toContain('my_cart/notes.txt');
  expect(existsSync(join(home, 'my_cart.tar'))).toBe(true);
});

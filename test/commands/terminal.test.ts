import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cliCommand, pacifica } from '../support/cli.js';
import { startServer, type TestServer } from '../support/server.js';
import { commands } from '../support/shown.js';
import { commandOnTerminal, onTerminal, type TerminalResult } from '../support/terminal.js';

// What a person at a terminal sees and types.

const MIB = 1024 * 1024;
let dir: string;
let server: TestServer;
let handle: (req: IncomingMessage, res: ServerResponse) => void;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-terminal-'));
  server = await startServer((req, res) => handle(req, res));
});
afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const env = (): NodeJS.ProcessEnv =>
  Object.fromEntries(['ARCHIVE', 'CART', 'INGEST'].map((name) => [`PACIFICA_${name}_URL`, server.url]));

function run(args: readonly string[], steps: [string, string][] = []): Promise<TerminalResult> {
  return onTerminal(args, { env: env(), cwd: dir, steps });
}

/** Sends 8 MiB in 2 s: long enough for a bar. */
function slowly(_req: IncomingMessage, res: ServerResponse, pause = 250): void {
  res.writeHead(200, { 'content-length': 8 * MIB, etag: '"one"' });
  let sent = 0;
  const timer = setInterval(() => {
    res.write(Buffer.alloc(MIB));
    sent += 1;
    if (sent < 8) return;
    clearInterval(timer);
    res.end();
  }, pause);
  res.on('close', () => clearInterval(timer));
}

describe('a bar', () => {
  it('shows how far a long download is, its rate and its end, and goes away', async () => {
    handle = slowly;
    const { code, screen } = await run(['cart', 'get', 'x', '-o', 'x.tar']);
    expect(code).toBe(0);
    expect(screen).toMatch(/cart x \[[=-]{30}\] \d+% {2}\d\.0 MiB of 8\.0 MiB {2}[\d.]+ (K|M)iB\/s {2}ETA \d:\d\d/);
    // the last line is the result alone
    expect(screen.trimEnd().split('\r').at(-1)).toMatch(/cart x: 8\.0 MiB in x\.tar$/);
    expect(readdirSync(dir)).toEqual(['x.tar']);
  });

  it('shows how far an upload is, its rate and its end', async () => {
    handle = (req, res) => {
      if (req.method === 'GET') {
        res.end('{}');
        return;
      }
      const read = async (): Promise<void> => {
        let got = 0;
        for await (const piece of req as AsyncIterable<Buffer>) {
          got += piece.length;
          // 64 MiB in 2 s or more: long enough for a bar
          while (got >= 4 * MIB) {
            got -= 4 * MIB;
            await sleep(150);
          }
        }
        res.end(
          JSON.stringify({ job_id: 3, state: 'OK', task: 'UPLOADING', task_percent: '100.00000', exception: '' }),
        );
      };
      void read();
    };
    execFileSync('truncate', ['-s', '64M', join(dir, 'large')]);
    const { code, screen } = await run(['ingest', 'upload', 'large', '-p', '1', '-i', '1', '-s', '1']);
    expect(code).toBe(0);
    expect(screen).toMatch(
      /sending 1 files \[[=-]{30}\] [1-9]\d?% {2}[\d.]+ MiB of 64\.0 MiB {2}[\d.]+ MiB\/s {2}ETA \d:\d\d/,
    );
    expect(screen.trimEnd().split('\r').at(-1)).toMatch(/3$/);
  });

  it('shows the tasks of a job that is waited for', async () => {
    let asked = 0;
    handle = (_req, res) => {
      asked += 1;
      const state = { job_id: 3, state: 'OK', task: 'ingest files', task_percent: '40.0', exception: '' };
      const last = { ...state, task: 'ingest metadata', task_percent: '100.0' };
      res.writeHead(200, { 'content-type': 'application/json' });
      res.end(JSON.stringify(asked < 6 ? state : last));
    };
    const { code, screen } = await run(['ingest', 'state', '3', '--watch']);
    expect(code).toBe(0);
    expect(screen).toMatch(/job 3: ingest files \[[=-]{30}\] 40%/);
    expect(screen).toContain('Task:  ingest metadata, 100%');
  });

  it('is not shown for what is done in no time', async () => {
    handle = (_req, res) => res.end('quick');
    const { screen } = await run(['archive', 'get', '5', '-o', 'f']);
    expect(screen).toBe('file 5: 5 B in f\r\n');
  });

  it('is not shown in a pipe', async () => {
    handle = slowly;
    const { stderr, stdout } = await pacifica(['cart', 'get', 'x', '-o', 'x.tar'], { env: env(), cwd: dir });
    expect(stderr).toBe('');
    expect(stdout.toString()).toBe('cart x: 8.0 MiB in x.tar\n');
  });

  it('is told in lines in a pipe with --progress', async () => {
    handle = (req, res) => slowly(req, res, 500);
    const { stderr } = await pacifica(['cart', 'get', 'x', '-o', 'x.tar', '--progress'], { env: env(), cwd: dir });
    expect(stderr).toMatch(/^(cart x {2}\d+% {2}\d\.\d MiB of 8\.0 MiB {2}[\d.]+ (K|M)iB\/s {2}ETA 0:0\d\n)+$/);
  });

  it('is wiped away by Ctrl-C, and the message stands alone', async () => {
    handle = slowly;
    const { code, screen } = await run(['cart', 'get', 'x', '-o', 'x.tar'], [['ETA', '\u0003']]);
    expect(code).toBe(130);
    expect(screen).toMatch(
      /Error:\S* interrupted\r\n Hint: \d\.\d MiB are kept: the same command goes on from there\r\n$/,
    );
    expect(readdirSync(dir)).toEqual([expect.stringMatching(/\.part$/)]);
  });
});

describe('bytes', () => {
  it('are not thrown at a terminal', async () => {
    let asked = false;
    handle = (_req, res) => {
      asked = true;
      res.end('bytes');
    };
    const { code, screen } = await run(['archive', 'get', '5']);
    expect(code).toBe(2);
    expect(screen).toContain('file 5 is not for a terminal\r\n Hint: write it to a file with --output FILE');
    expect(asked).toBe(false);
  });
});

describe('a question', () => {
  let deleted: string[];

  beforeEach(() => {
    deleted = [];
    handle = (req, res) => {
      if (req.method === 'DELETE') deleted.push(req.url ?? '');
      res.end('{}');
    };
  });

  it.each([
    ['y\n', 0, ['/5', '/6']],
    ['yes\n', 0, ['/5', '/6']],
    ['n\n', 130, []],
    ['\n', 130, []],
    ['\u0004', 130, []],
    ['\u0003', 130, []],
  ])('answered with %j ends with %i', async (answer, exit, gone) => {
    const { code, screen } = await run(['archive', 'delete', '5', '6'], [['[y/N] ', answer]]);
    expect(screen).toContain(`Delete 2 files (5, 6) from ${server.url}? [y/N] `);
    expect({ code, deleted: deleted.sort() }).toEqual({ code: exit, deleted: gone });
  });

  it('is not asked with --yes', async () => {
    const { code, screen } = await run(['archive', 'delete', '5', '--yes']);
    expect({ code, screen }).toEqual({ code: 0, screen: 'deleted file 5\r\n' });
  });
});

describe('colour', () => {
  it('marks an error, unless NO_COLOR is set', async () => {
    handle = (_req, res) => res.writeHead(404).end();
    expect((await run(['cart', 'status', 'x'])).screen).toContain('\u001b[31mError:\u001b[39m there is no cart x');
    const plain = await onTerminal(['cart', 'status', 'x'], { env: { ...env(), NO_COLOR: '1' }, cwd: dir });
    expect(plain.screen).toMatch(/^Error: there is no cart x/);
    expect((await run(['cart', 'status', 'x', '--no-color'])).screen).toMatch(/^Error: there is no cart x/);
  });

  it('is nowhere in help with --no-color', async () => {
    expect((await run(['cart', 'get', '--help', '--no-color'])).screen).not.toContain('\u001b');
  });
});

describe('a file that is written to a place of its own kind', () => {
  it('goes through links, and into what is no file, without replacing it', async () => {
    handle = (_req, res) => res.end('new');
    writeFileSync(join(dir, 'real'), 'old');
    symlinkSync('real', join(dir, 'link'));
    expect((await run(['archive', 'get', '5', '-o', 'link'])).code).toBe(0);
    expect(readFileSync(join(dir, 'real'), 'utf8')).toBe('new');
    expect(readdirSync(dir).sort()).toEqual(['link', 'real']);

    // a pipe stands for all that is no file: never a device of the machine, which a fault here would replace
    execFileSync('mkfifo', [join(dir, 'pipe')]);
    const reader = readFile(join(dir, 'pipe'), 'utf8');
    expect((await run(['archive', 'get', '5', '-o', 'pipe'])).code).toBe(0);
    expect(await reader).toBe('new');
    expect(statSync(join(dir, 'pipe')).isFIFO()).toBe(true);
  });
});

describe('a command that is completed by Tab', () => {
  const zsh = spawnSync('zsh', ['-c', 'true']).status === 0;

  it.skipIf(!zsh)('gets topics and commands, in zsh', async () => {
    const [node, program] = cliCommand;
    const home = { HOME: dir, ZDOTDIR: dir, XDG_CACHE_HOME: join(dir, 'cache'), SHELL: '/bin/zsh' };
    const { stdout } = await pacifica(['autocomplete', 'script', 'zsh'], { env: home });
    expect((await pacifica(['autocomplete', 'zsh', '--refresh-cache'], { env: home })).code).toBe(0);
    // what a person puts into ~/.zshrc
    const line = stdout.toString().trim();
    writeFileSync(join(dir, '.zshrc'), `PS1='> '\nunsetopt zle_bracketed_paste 2>/dev/null\n${line}\n`);
    writeFileSync(join(dir, 'pacifica'), `#!/bin/sh\nexec ${node} ${program} "$@"\n`, { mode: 0o755 });
    const { screen } = await commandOnTerminal(['zsh', '-i'], {
      env: { ...home, PATH: `${dir}:${process.env.PATH ?? ''}` },
      cwd: dir,
      steps: [
        ['> ', 'pacifica arc\t'],
        ['archive', 'stat\t'],
        ['status', '\u0015exit\n'],
      ],
    });
    expect(screen).toContain('archive');
    expect(screen).toContain('status');
  });

  it('has a script for PowerShell that knows every command', async () => {
    const home = { HOME: dir, XDG_CACHE_HOME: join(dir, 'cache'), SHELL: '/bin/bash' };
    expect((await pacifica(['autocomplete', 'powershell', '--refresh-cache'], { env: home })).code).toBe(0);
    const scripts = readdirSync(join(dir, 'cache'), { recursive: true, encoding: 'utf8' });
    const script = scripts.find((name) => name.endsWith('.ps1')) ?? '';
    const text = readFileSync(join(dir, 'cache', script), 'utf8');
    expect(text).toContain('Register-ArgumentCompleter');
    for (const name of Object.keys(commands)) expect(text).toContain(`"${name.split(':').at(-1) ?? ''}"`);
  });

  it('gets topics, commands and flags, in bash', async () => {
    const [node, program] = cliCommand;
    const home = { HOME: dir, XDG_CACHE_HOME: join(dir, 'cache'), SHELL: '/bin/bash' };
    const { stdout } = await pacifica(['autocomplete', 'script', 'bash'], { env: home });
    expect((await pacifica(['autocomplete', 'bash', '--refresh-cache'], { env: home })).code).toBe(0);
    // what a person puts into ~/.bashrc; the program is found as an installed one is
    writeFileSync(join(dir, '.bashrc'), `PS1='> '\nbind 'set enable-bracketed-paste off'\n${stdout.toString()}`);
    writeFileSync(join(dir, 'pacifica'), `#!/bin/sh\nexec ${node} ${program} "$@"\n`, { mode: 0o755 });
    const bash = ['bash', '--rcfile', join(dir, '.bashrc'), '-i'];
    const { screen } = await commandOnTerminal(bash, {
      env: { ...home, PATH: `${dir}:${process.env.PATH ?? ''}` },
      cwd: dir,
      steps: [
        ['> ', 'pacifica arc\t'],
        ['pacifica archive ', 'stat\t'],
        ['status ', '--archive-u\t'],
        // Ctrl-U empties the line; Ctrl-C would drop what is typed right after it
        ['--archive-url ', '\u0015exit\n'],
      ],
    });
    expect(screen).toContain('pacifica archive status --archive-url ');
  });
});

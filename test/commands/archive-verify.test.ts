import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliOptions, type CliResult, pacifica } from '../support/cli.js';
import { curl } from '../support/curl.js';
import { type Daemon, startDaemon } from '../support/serve.js';
import { onTerminal } from '../support/terminal.js';
import { until } from '../support/until.js';

// `archive verify` and `archive list` beside a running archive, which knows nothing of them.

const MIB = 1024 * 1024;
let home: string;
let data: string;
let daemon: Daemon;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-verify-'));
  data = join(home, 'data');
  daemon = await startDaemon(['archive', 'serve', '--data-dir', data, '--port', '0']);
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

const file = (id: string): string => join(data, 'archive', id);

async function put(id: string, bytes: Uint8Array): Promise<void> {
  expect((await curl(['-T', '-', `${daemon.urls.archive}/${id}`], bytes)).status).toBe(201);
}

function verify(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return pacifica(['archive', 'verify', '--data-dir', data, ...args], { cwd: home, ...options });
}

/** Changes one byte, and neither size nor time. */
function rot(id: string): void {
  execFileSync('chmod', ['u+w', file(id)]);
  execFileSync('touch', ['-r', file(id), join(home, 'time')]);
  const words = [`of=${file(id)}`, 'if=/dev/zero', 'bs=1', 'seek=70', 'count=1', 'conv=notrunc', 'status=none'];
  execFileSync('dd', words);
  execFileSync('touch', ['-r', join(home, 'time'), file(id)]);
}

describe('an archive in use', () => {
  beforeAll(async () => {
    for (const id of ['1', '2', '3', '4', 'run-7.tar']) await put(id, randomBytes(2 * MIB));
  });

  it('is found whole', async () => {
    const { code, stderr, stdout } = await verify(['--all']);
    expect({ code, stderr, stdout: stdout.toString() }).toEqual({
      code: 0,
      stderr: 'verified 5 files, 10.0 MiB: none damaged\n',
      stdout: '',
    });
  });

  it('is told with every file that is not as it was put, and 6', async () => {
    rot('2');
    rmSync(file('3'));
    execFileSync('chmod', ['u+w', file('4')]);
    execFileSync('truncate', ['-s', '1000', file('4')]);
    writeFileSync(file('by-hand'), 'by hand');
    const { code, stderr, lines } = await verify(['--all']);
    expect(code).toBe(6);
    expect(lines()).toMatchObject([
      { id: '2', reason: 'digest', path: file('2'), detail: expect.stringContaining('sha256 ') as string },
      { id: '3', reason: 'missing', path: file('3'), detail: `${2 * MIB} bytes were recorded` },
      { id: '4', reason: 'size', path: file('4'), detail: `${2 * MIB} bytes were recorded, 1000 are there` },
      { id: 'by-hand', reason: 'unrecorded', path: file('by-hand') },
    ]);
    expect(stderr).toBe('verified 6 files, 6.0 MiB: 3 damaged, 1 unrecorded\n');
  });

  it('takes ids as arguments and from standard input, what put prints as well', async () => {
    expect((await verify(['1', 'run-7.tar'])).code).toBe(0);
    const { code, lines } = await verify(['--from-file', '-', '--json'], { input: '1\tfoo.txt\n\n2\r\n404' });
    expect(code).toBe(6);
    expect(lines()).toMatchObject([
      { id: '2', reason: 'digest' },
      { id: '404', reason: 'missing' },
      { summary: { files: 3, bytes: 4 * MIB, damaged: 2, unrecorded: 0, adopted: 0, complete: true } },
    ]);
  });

  it('shows what the last runs found when nothing is asked for, and reads nothing', async () => {
    const { code, text } = await verify([]);
    expect(code).toBe(6);
    expect(text()).toMatch(/^No file was asked for, so none was read\.\n\nSELECTION .*\nall .* complete +6 .* 3 /);
    expect(text()).toMatch(/\n2 +digest .*\n3 +missing .*\n4 +size /);
    const { lines } = await verify(['--json']);
    expect(lines()).toMatchObject([{ run: { selection: 'all', complete: true, damaged: 3 } }, {}, {}, { id: '4' }]);
  });

  it('gets records with --adopt, of which clients are told', async () => {
    const { code, lines } = await verify(['by-hand', '--adopt']);
    expect(code).toBe(0);
    const sum = execFileSync('sha256sum', [file('by-hand')], { encoding: 'utf8' }).slice(0, 64);
    expect(lines()).toEqual([{ id: 'by-hand', path: file('by-hand'), reason: 'unrecorded', adopted: `sha256:${sum}` }]);
    const head = await curl(['-I', `${daemon.urls.archive}/by-hand`]);
    expect(head.header('repr-digest')).toBe(`sha-256=:${Buffer.from(sum, 'hex').toString('base64')}:`);
    expect((await verify(['by-hand'])).stdout.toString()).toBe('');
  });

  it('is good again after the files were put again and deleted', async () => {
    for (const id of ['2', '4']) await put(id, randomBytes(MIB));
    await put('3', randomBytes(100));
    await curl(['-X', 'DELETE', `${daemon.urls.archive}/3`]);
    expect(await verify(['--all'])).toMatchObject({ code: 0 });
    expect((await verify([])).code).toBe(0);
  });

  it('is listed', async () => {
    const { code, text } = await pacifica(['archive', 'list', '--data-dir', data]);
    expect(code).toBe(0);
    expect(text().split('\n').sort()).toEqual(['', '1', '2', '4', 'by-hand', 'run-7.tar']);
    const { lines } = await pacifica(['archive', 'list', '--data-dir', data, '--json']);
    expect(lines()).toContainEqual({ id: 'run-7.tar' });
  });
});

describe('interrupted', () => {
  const ids = Array.from({ length: 40 }, (_, index) => `slow-${index + 10}`);

  beforeAll(async () => {
    for (const id of ['1', '2', '4', 'by-hand', 'run-7.tar']) {
      await curl(['-X', 'DELETE', `${daemon.urls.archive}/${id}`]);
    }
    for (const id of ids) await put(id, randomBytes(50_000));
  });

  const slow = ['--all', '--rate', '200K', '--resume'];

  it('a subset that has no file in it is told: nothing was looked at, and nothing found', async () => {
    const { code, stderr } = await verify(['--subset', '1']);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'verified 0 files, 0 B: none damaged\nWarning: no file is in the subset 1: none was read\n',
    });
  });

  it('by Ctrl-C: says how far it is and how to go on, ends with 130, and goes on there', async () => {
    expect((await verify(['--all'])).code).toBe(0);
    rot(ids[0] ?? '');
    rot(ids[39] ?? '');
    let shown = '';
    const first = await verify([...slow, '--json'], {
      onStart: (child) =>
        child.stdout?.on('data', (piece: Buffer) => {
          const before = shown;
          shown += piece.toString();
          // once: who asks twice is not waited for
          if (!before.includes(ids[0] ?? '') && shown.includes(ids[0] ?? '')) child.kill('SIGINT');
        }),
    });
    expect(first.code).toBe(130);
    expect(first.lines().at(-1)).toMatchObject({ summary: { damaged: 1, complete: false } });
    expect(JSON.parse(first.stderr)).toMatchObject({
      error: { code: 'aborted', hint: '"pacifica archive verify --all --resume" goes on from here' },
    });
    const second = await verify(['--all', '--resume', '--json']);
    expect(second.code).toBe(6);
    // the first one is not looked at again; its damage counts all the same
    expect(second.lines()).toMatchObject([
      { id: ids[39], reason: 'digest' },
      { summary: { files: 40, damaged: 2, complete: true } },
    ]);
  });

  it('by a crash: goes on where it was a second before', async () => {
    const lastRun = async (): Promise<[{ run: { complete: boolean; files: number } }]> =>
      (await verify(['--json'])).lines() as [{ run: { complete: boolean; files: number } }];
    const noted = async (): Promise<boolean> => {
      const [{ run }] = await lastRun();
      return !run.complete && run.files > 0;
    };
    const killed = await verify([...slow], {
      onStart: (child) => void until('a note of how far it is', noted).then(() => child.kill('SIGKILL')),
    });
    expect(killed.code).toBeNull();
    const [last] = await lastRun();
    expect(last.run.complete).toBe(false);
    expect(last.run.files).toBeGreaterThan(0);
    const rest = await verify(['--all', '--resume', '--json']);
    expect(rest.lines().at(-1)).toMatchObject({ summary: { files: 40, damaged: 2, complete: true } });
  });

  it('by its time limit: ends well', async () => {
    const { code, stderr } = await verify(['--all', '--rate', '200K', '--time-limit', '2s']);
    expect(code).toBe(6);
    expect(stderr).toMatch(
      /^verified \d+ files, .*\nThe time is up: "pacifica archive verify --all --resume" goes on from here\n$/,
    );
  });

  it('on a terminal: shows a bar, and findings without its remains', async () => {
    const { code, screen } = await onTerminal(['archive', 'verify', '--data-dir', data, '--all', '--rate', '300K'], {
      steps: [['1 damaged [', '\u0003']],
    });
    expect(code).toBe(130);
    expect(screen).toMatch(/verifying, 1 damaged \[[=-]{30}\] \d+% .* files? /);
    // after the bar's line was wiped, or before there was one
    expect(screen.split('{"id":"slow-10",')[0]).toMatch(/(^|\n|\[K)$/);
    expect(screen.trimEnd()).toMatch(/verified \d+ files, .*\r\n.*Error:.* interrupted\r\n Hint: .*goes on from here$/);
  });
});

describe('refuses', () => {
  it.each([
    [['1', '--all'], 2, 'ids do not go together with --all'],
    [['--subset', '31/30'], 2, 'does not say which files'],
    [['--all', '--subset', '1/2'], 2, '--subset'],
    [['--all', '--time-limit', 'soon'], 2, '"soon" is not a time span'],
    [['--all', '--rate', '0'], 2, '--rate 0'],
    [['../../etc/passwd'], 2, 'is not valid'],
    [['--from-file', 'nope'], 3, 'there is no file nope'],
  ])('%j', async (args, exit, message) => {
    const { code, stderr } = await verify(args);
    expect(code).toBe(exit);
    expect(stderr).toContain(message);
    expect(stderr.split('\n').length).toBeLessThanOrEqual(3);
  });

  it('a line that is no id, by its number, before anything is read', async () => {
    const { code, stderr } = await verify(['--from-file', '-'], { input: '1\n2\n..\n' });
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^Error: standard input, line 3: /) as string,
    });
  });

  it('a machine without the archive, and makes nothing there', async () => {
    const list = await pacifica(['archive', 'list', '--data-dir', join(home, 'none')]);
    expect(list.code).toBe(3);
    expect(list.stderr).toContain("on the archive's own machine");
    const verified = await pacifica(['archive', 'verify', '--all', '--data-dir', join(home, 'none')]);
    expect(verified.code).toBe(3);
    expect(existsSync(join(home, 'none'))).toBe(false);
  });
});

import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliOptions, type CliResult, cliCommand, cliEnv, pacifica } from '../support/cli.js';
import { OriginalArchive } from '../support/original-archive.js';
import { type Daemon, startServe } from '../support/serve.js';
import { startServer } from '../support/server.js';
import { collect } from '../support/streams.js';

// Many files in and out of a real archive: put, get, stage, status and delete on lists.

let home: string;
let daemon: Daemon;
/** a put for which nobody gives ids: it asks for half a minute, beside all the others */
let refused: Promise<CliResult>;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-transfer-'));
  daemon = await startServe(join(home, 'data'));
  mkdirSync(join(home, 'tree/sub'), { recursive: true });
  for (let file = 1; file <= 5; file += 1) writeFileSync(join(home, `tree/f${file}`), randomBytes(2_000_000 + file));
  writeFileSync(join(home, 'tree/sub/größe Ω.csv'), 'ä,ö\n');
  writeFileSync(join(home, 'tree/empty'), '');
  symlinkSync('f1', join(home, 'tree/link'));
  refused = run(['put', 'tree/f1'], { env: { PACIFICA_CATALOG_URL: 'http://127.0.0.1:1' } });
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

function run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const env = { PACIFICA_ARCHIVE_URL: daemon.urls.archive, PACIFICA_CATALOG_URL: daemon.urls.catalog, ...options.env };
  return pacifica(['archive', ...args], { cwd: home, ...options, env });
}

const sums = (folder: string): string[] =>
  readdirSync(join(home, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => execFileSync('sha256sum', [join(entry.parentPath, entry.name)], { encoding: 'utf8' }).slice(0, 64))
    .sort();

describe('archive put', () => {
  it('stores a folder under new ids, which it prints, and get brings all of it back', async () => {
    const put = await run(['put', 'tree', '--jobs', '3']);
    expect(put).toMatchObject({ code: 0, stderr: 'Warning: tree/link is a symbolic link, left out\n' });
    const lines = put.text().trimEnd().split('\n');
    expect(lines.map((line) => line.split('\t')[1])).toEqual([
      'tree/empty',
      ...[1, 2, 3, 4, 5].map((file) => `tree/f${file}`),
      'tree/sub/größe Ω.csv',
    ]);
    expect(new Set(lines.map((line) => line.split('\t')[0])).size).toBe(7);
    writeFileSync(join(home, 'ids'), put.text());
    const got = await run(['get', '--from-file', 'ids', '--output', 'back', '--json']);
    expect(got).toMatchObject({ code: 0, stderr: '' });
    expect(got.lines()).toHaveLength(7);
    expect(sums('back')).toEqual(sums('tree'));
  });

  it('twice stores a folder twice under new ids, and once under given ones', async () => {
    const ids = async (args: readonly string[], input?: string): Promise<string[]> =>
      (await run(['put', ...args, '--json'], { input })).lines().map((line) => (line as { id: string }).id);
    const [first, second] = [await ids(['tree/sub']), await ids(['tree/sub'])];
    expect(first).not.toEqual(second);
    const list = '9001\n9002\n';
    expect(await ids(['tree/f1', 'tree/f2', '--ids-from', '-'], list)).toEqual(['9001', '9002']);
    expect(await ids(['tree/f1', 'tree/f2', '--ids-from', '-'], list)).toEqual(['9001', '9002']);
  });

  it('stores the others when one is not there or can not be stored, and tells so by its exit code', async () => {
    const missing = await run(['put', 'tree/f1', 'nope', 'tree/f2']);
    expect(missing).toMatchObject({ code: 3, stderr: 'Error: there is no file nope\n' });
    expect(missing.text().trimEnd().split('\n')).toHaveLength(2);
    const empty = await run(['put', 'tree/f1', '--ids-from', '-'], { input: '1\n2\n' });
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining('1 file for 2 ids') as string });
    const same = await run(['put', 'tree/f1', 'tree/f2', '--ids-from', '-'], { input: '77\n77\n' });
    expect(same).toMatchObject({ code: 2, stdout: Buffer.alloc(0) });
    expect(same.stderr).toContain('id 77 is listed more than once: nothing was stored');
    expect((await run(['status', '77'])).code).toBe(3);
    const both = await run(['put', 'tree', '--id', '5']);
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('7 files for 1 id: nothing was stored');
  });

  it.skipIf(process.getuid?.() === 0)('leaves out what it may not read', async () => {
    mkdirSync(join(home, 'secret'));
    writeFileSync(join(home, 'secret/a'), 'a');
    writeFileSync(join(home, 'secret/b'), 'b');
    chmodSync(join(home, 'secret/a'), 0);
    const { code, text } = await run(['put', 'secret']);
    expect(code).toBe(7);
    expect(text()).toMatch(/^\d+\tsecret\/b\n$/);
  });

  it('never replaces a file by one with a new id, also in an original archive', async () => {
    const [next] = (await run(['put', 'tree/empty', '--json'])).lines() as [{ id: string }];
    const taken = String(Number(next.id) + 1);
    await run(['put', 'tree/f1', '--id', taken]);
    const { code, stderr } = await run(['put', 'tree/f2']);
    expect(code).toBe(7);
    expect(stderr).toContain(`file ${taken} is in the archive already, though its id is new`);

    const original = new OriginalArchive();
    await original.start();
    original.files.set(String(Number(taken) + 1), Buffer.from('somebody else'));
    const refused = await run(['put', 'tree/f2'], { env: { PACIFICA_ARCHIVE_URL: original.url } });
    expect(refused.code).toBe(7);
    expect([...original.files.values()].map(String)).toEqual(['somebody else']);
    const stored = await run(['put', 'tree/empty'], { env: { PACIFICA_ARCHIVE_URL: original.url } });
    expect(stored.code).toBe(0);
    await original.close();
  });

  it('tries again what may pass, never what will not, and takes an answer that was lost for an answer', async () => {
    const requests: string[] = [];
    let stored: { sum: string; size: number } | undefined;
    const handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
      requests.push(req.method ?? '');
      if (req.method === 'HEAD') {
        if (stored === undefined) res.writeHead(404).end();
        else
          res
            .writeHead(204, {
              'x-content-length': stored.size,
              'last-modified': '1.0',
              'repr-digest': stored.sum,
            })
            .end();
        return;
      }
      const body = await collect(req);
      if (req.url === '/77') {
        res.writeHead(400, { 'content-type': 'application/json' }).end('{"message": "no"}');
        return;
      }
      if (stored !== undefined) {
        res.writeHead(412).end();
        return;
      }
      stored = { sum: String(req.headers['content-digest']), size: body.length };
      res.destroy();
    };
    const server = await startServer((req, res) => void handle(req, res));
    const env = { PACIFICA_ARCHIVE_URL: server.url };
    expect(await run(['put', 'tree/f1'], { env })).toMatchObject({ code: 0, stderr: '' });
    expect(requests).toEqual(['HEAD', 'PUT', 'PUT', 'HEAD']);
    requests.length = 0;
    expect((await run(['put', 'tree/f1', '--id', '77'], { env })).code).toBe(2);
    expect(requests).toEqual(['PUT']);
    await server.close();
  });
});

describe('archive get --continue', () => {
  beforeAll(async () => {
    await run(['put', 'tree/f3', '--id', '8003']);
  });

  it('fetches the rest of a file only', async () => {
    const whole = readFileSync(join(home, 'tree/f3'));
    writeFileSync(join(home, 'part'), whole.subarray(0, 1_500_000));
    const got = await run(['get', '8003', '-o', 'part', '--continue', '--debug']);
    expect(got.code).toBe(0);
    expect(got.stderr).toContain('> range: bytes=1500000-');
    expect(got.stderr).toContain('> if-range: "');
    expect(readFileSync(join(home, 'part')).equals(whole)).toBe(true);
    // nothing is left to fetch
    const again = await run(['get', '8003', '-o', 'part', '--continue', '--debug']);
    expect(again.code).toBe(0);
    expect(again.stderr).not.toContain('> range');
  });

  it('never makes a mixture: 6, and what was there stays', async () => {
    writeFileSync(join(home, 'other'), 'the beginning of something else');
    const { code, stderr } = await run(['get', '8003', '-o', 'other', '--continue']);
    expect(code).toBe(6);
    expect(stderr).toContain('leave --continue away');
    expect(readFileSync(join(home, 'other'), 'utf8')).toBe('the beginning of something else');
    expect((await run(['get', '8003', '-o', 'other'])).code).toBe(0);
    expect(readFileSync(join(home, 'other')).equals(readFileSync(join(home, 'tree/f3')))).toBe(true);
  });
});

describe('lists of ids', () => {
  beforeAll(async () => {
    for (const id of ['71', '72', '73']) await run(['put', 'tree/empty', '--id', id]);
  });

  it('come from a file or standard input, with arguments beside them', async () => {
    const status = await run(['status', '71', '--from-file', '-', '--json', '--jobs', '2'], { input: '72\n73\tx\n' });
    expect(status.lines()).toMatchObject([{ id: '71' }, { id: '72' }, { id: '73' }]);
    const bad = await run(['status', '--from-file', '-'], { input: '72\n007\n' });
    expect(bad).toMatchObject({ code: 2, stdout: Buffer.alloc(0) });
    expect(bad.stderr).toContain('standard input, line 2');
    expect((await run(['status', '--from-file', '-'], { input: '' })).code).toBe(2);
    expect((await run(['status'])).stderr).toContain('missing argument ID');
  });

  it('get fetches the others when one is missing, and wants a folder', async () => {
    const got = await run(['get', '71', '404', '72', '-o', 'some']);
    expect(got).toMatchObject({ code: 3, stderr: 'Error: file 404 is not in the archive\n' });
    expect(readdirSync(join(home, 'some')).sort()).toEqual(['71', '72']);
    expect((await run(['get', '71', '72'])).code).toBe(2);
  });

  it('delete refuses them without --yes where nobody can be asked', async () => {
    const refused = await run(['delete', '--from-file', '-'], { input: '71\n72\n' });
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes') as string });
    // one that is listed twice is no missing file
    expect(await run(['delete', '71', '--from-file', '-', '--yes'], { input: '71\n72\n' })).toMatchObject({
      code: 0,
      stdout: Buffer.from('deleted file 71\ndeleted file 72\n'),
    });
    expect((await run(['status', '71', '72'])).code).toBe(3);
  });
});

describe('archive stage --wait', () => {
  it('ends when all are on disk, with 4 when the time is up, with 3 for those that are not there', async () => {
    let looks = 0;
    const server = await startServer((req, res) => {
      if (req.url === '/404') {
        res.writeHead(404).end();
        return;
      }
      if (req.method === 'HEAD') looks += 1;
      const media = req.url === '/2' || looks < 4 ? 'tape' : 'disk';
      const headers = { 'x-content-length': 5, 'last-modified': '1.0', 'x-pacifica-file-storage-media': media };
      res.writeHead(req.method === 'HEAD' ? 204 : 200, headers).end();
    });
    const env = { PACIFICA_ARCHIVE_URL: server.url };
    const staged = await run(['stage', '1', '404', '--wait'], { env });
    expect(staged).toMatchObject({ code: 3, stderr: 'Error: file 404 is not in the archive\n' });
    expect(staged.text()).toBe('file 1 is on disk\n');
    const late = await run(['stage', '1', '2', '--wait', '--timeout', '1s', '--json'], { env });
    expect(late.code).toBe(4);
    expect(late.lines()).toEqual([{ id: '1', media: 'disk' }]);
    expect(late.stderr).toContain('the time is up, one file is not on disk yet');
    await server.close();
  });
});

it('archive put ends with 5 where there is no unique id service, and says what to do', async () => {
  const { code, stderr } = await refused;
  expect(code).toBe(5);
  expect(stderr).toContain('or give --id or --ids-from');
});

describe('output that can not be written', () => {
  const leave = { onStart: (child: ChildProcess) => void child.stdout?.once('data', () => child.stdout?.destroy()) };
  const [node, program] = cliCommand;
  const toFull = (...args: string[]): { status: number | null; stderr: string } =>
    spawnSync('bash', ['-c', `exec "$@" > /dev/full`, '-', node, program, ...args], {
      encoding: 'utf8',
      env: cliEnv({ PACIFICA_ARCHIVE_URL: daemon.urls.archive }),
    });

  it('put and get of many files that nobody reads about any more do not end as if all were done', async () => {
    mkdirSync(join(home, 'many'));
    const ids = Array.from({ length: 2000 }, (_, index) => `many-${index}`);
    for (const id of ids) writeFileSync(join(home, 'many', id), id);
    writeFileSync(join(home, 'many-ids'), ids.join('\n'));
    const text = 'Error: nobody reads what is printed any more: stopped before all was done\n';
    const put = await run(['put', 'many', '--ids-from', 'many-ids'], leave);
    expect(put).toMatchObject({ code: 1, stderr: expect.stringContaining(text) as string });
    expect((await run(['put', 'many', '--ids-from', 'many-ids'])).code).toBe(0);
    const got = await run(['get', '--from-file', 'many-ids', '--output', 'many-back'], leave);
    expect(got).toMatchObject({ code: 1, stderr: expect.stringContaining(text) as string });
    expect(readdirSync(join(home, 'many-back')).filter((name) => name.startsWith('.'))).toEqual([]);
    // who only looks at something has seen enough
    expect(await run(['get', 'many-1'], leave)).toMatchObject({ code: 0, stderr: '' });
  });

  it('a full disk is one message, without a stack', async () => {
    expect((await run(['put', 'tree/f1', '--id', 'for-full'])).code).toBe(0);
    const told = /^Error: can not write to standard output: ENOSPC: .*\n( Hint: .*\n)?$/;
    for (const args of [
      ['archive', 'list', '--data-dir', join(home, 'data')],
      ['archive', 'status', 'for-full'],
      ['archive', 'put', join(home, 'tree/f1'), '--id', 'for-full'],
      ['--version'],
    ]) {
      expect(toFull(...args)).toMatchObject({ status: 1, stderr: expect.stringMatching(told) as string });
    }
  });
});

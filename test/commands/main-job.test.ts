import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliOptions, type CliResult, pacifica } from '../support/cli.js';
import { makeBundle } from '../support/bundle.js';
import { cartOf } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';

// Every client command once, as a person or a script uses it, on a real daemon.

let home: string;
let daemon: Daemon;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-commands-'));
  daemon = await startServe(join(home, 'data'));
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

/** Runs a command against the daemon, in `home`. */
function run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const { archive, cart, ingest, proxy } = daemon.urls;
  const env = {
    PACIFICA_ARCHIVE_URL: archive,
    PACIFICA_CART_URL: cart,
    PACIFICA_INGEST_URL: ingest,
    PACIFICA_PROXY_URL: proxy,
  };
  return pacifica(args, { cwd: home, ...options, env: { ...env, ...options.env } });
}

/** Runs a command that must end with 0 and complain about nothing. */
async function ok(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  const result = await run(args, options);
  expect(result.stderr, args.join(' ')).toBe('');
  expect(result.code, args.join(' ')).toBe(0);
  return result;
}

function sum(program: 'sha1sum' | 'md5sum', file: string): string {
  return execFileSync(program, [join(home, file)], { encoding: 'utf8' }).split(' ')[0] ?? '';
}

describe('archive', () => {
  beforeAll(() => {
    writeFileSync(join(home, 'foo.bin'), Buffer.alloc(3_000_001, 'foo'));
    utimesSync(join(home, 'foo.bin'), 1_500_000_000, 1_500_000_000);
  });

  it('puts a file and gets it back, bytes and time', async () => {
    expect((await ok(['archive', 'put', 'foo.bin', '--id', '12345'])).text()).toBe('stored 2.9 MiB as file 12345\n');
    expect((await ok(['archive', 'get', '12345', '-o', 'back.bin'])).text()).toBe('file 12345: 2.9 MiB in back.bin\n');
    expect(sum('sha1sum', 'back.bin')).toBe(sum('sha1sum', 'foo.bin'));
    expect(statSync(join(home, 'back.bin')).mtimeMs).toBe(1_500_000_000_000);
  });

  it('reads standard input and writes standard output, without anything else in it', async () => {
    const input = Buffer.alloc(1_000_000, 'pipe');
    expect((await ok(['archive', 'put', '-', '--id', '7', '--json'], { input })).lines()).toEqual([
      { id: '7', path: '-', size: 1_000_000 },
    ]);
    for (const words of [[], ['--output', '-']]) {
      expect((await ok(['archive', 'get', '7', ...words])).stdout.equals(input)).toBe(true);
    }
  });

  it('shows the status of many, one JSON line for each, and 3 when one is missing', async () => {
    const some = await run(['archive', 'status', '7', '404', '12345', '--json']);
    expect(some.code).toBe(3);
    expect(some.lines()).toMatchObject([
      { id: '7', size: 1_000_000, media: 'disk', bytes_per_level: [1_000_000] },
      { id: '12345', size: 3_000_001, mtime: '2017-07-14T02:40:00.000Z' },
    ]);
    expect(JSON.parse(some.stderr)).toEqual({
      error: { code: 'not-found', message: 'file 404 is not in the archive', exit: 3 },
    });

    const people = await run(['archive', 'status', '404', '12345']);
    expect(people.code).toBe(3);
    expect(people.stderr).toBe('Error: file 404 is not in the archive\n');
    expect(people.text()).toMatch(
      /^ID {5}SIZE {5}MEDIA {2}MODIFIED \(UTC\) {7}PATH\n12345 {2}2\.9 MiB {2}disk {3}2017-07-14 02:40:00 {2}\/.*\n$/,
    );
  });

  it('asks for staging, of those that are there', async () => {
    const { code, stderr } = await run(['archive', 'stage', '7', '404', '12345']);
    expect({ code, stderr }).toEqual({ code: 3, stderr: 'Error: file 404 is not in the archive\n' });
    expect((await ok(['archive', 'stage', '7', '--json'])).lines()).toEqual([{ id: '7', staged: true }]);
  });

  it('deletes only with --yes where nobody can be asked', async () => {
    const refused = await run(['archive', 'delete', '7'], { input: 'y\n' });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('Hint: add --yes');
    expect((await ok(['archive', 'status', '7'])).code).toBe(0);
    expect((await ok(['archive', 'delete', '7', '--yes'])).text()).toBe('deleted file 7\n');
    expect((await run(['archive', 'delete', '7', '--yes'])).code).toBe(3);
    expect((await run(['archive', 'get', '7'])).code).toBe(3);
  });

  it('takes in a file of the server only from where the site allows it', async () => {
    const { code, stderr } = await run(['archive', 'move', '8', join(home, 'foo.bin')]);
    expect(code).toBe(7);
    expect(stderr).toMatch(/^Error: .*foo\.bin/);
    expect(statSync(join(home, 'foo.bin')).size).toBe(3_000_001);
  });
});

describe('ingest, proxy, cart', () => {
  let job = '';

  beforeAll(() => {
    mkdirSync(join(home, 'tree/sub'), { recursive: true });
    writeFileSync(join(home, 'tree/sub/größe Ω.csv'), 'ä,ö\n'.repeat(1000));
    writeFileSync(join(home, 'tree/empty'), '');
    writeFileSync(join(home, 'tree/big'), Buffer.alloc(5_000_000, 'big'));
  });

  it('uploads a folder and waits until it is safe', async () => {
    const facts = ['--project', '1234a', '--instrument', '54', '--submitter', '10', '--key-value', 'Temp C=27'];
    const { stdout } = await ok(['ingest', 'upload', 'tree', ...facts, '--wait']);
    job = stdout.toString().trim();
    expect(job).toMatch(/^[1-9][0-9]*$/);
    const [state] = (await ok(['ingest', 'state', job, '--json'])).lines();
    expect(state).toMatchObject({ state: 'OK', task: 'ingest metadata', complete: true, exception: '' });
    expect((await ok(['ingest', 'state', job])).text()).toContain('Task:    ingest metadata, 100%\n');
  });

  it('gets each file by its hash', async () => {
    for (const file of ['tree/sub/größe Ω.csv', 'tree/empty', 'tree/big']) {
      const hash = sum('sha1sum', file);
      await ok(['proxy', 'get', 'SHA1', hash.toUpperCase(), '-o', 'got']);
      expect(sum('sha1sum', 'got')).toBe(hash);
      expect((await ok(['proxy', 'get', 'sha1', hash])).stdout.equals(readFileSync(join(home, file)))).toBe(true);
    }
    expect((await run(['proxy', 'get', 'sha1', '0'.repeat(40)])).code).toBe(3);
    expect((await run(['proxy', 'get', 'sha1', 'abc'])).code).toBe(2);
  });

  it('makes a cart of them that tar unpacks, tells how far it is, and deletes it', async () => {
    const list = await cartOf(daemon, Number(job));
    writeFileSync(join(home, 'list.json'), JSON.stringify(list));
    expect((await ok(['cart', 'create', 'run-7', '--file', 'list.json', '--wait'])).text()).toBe('run-7\n');
    expect((await ok(['cart', 'status', 'run-7'])).text()).toBe(
      'Cart:   run-7\nStatus: ready\nFiles:  3 of 3\nSize:   4.8 MiB of 4.8 MiB\n',
    );
    expect((await ok(['cart', 'status', 'run-7', '--json'])).lines()).toMatchObject([
      { uid: 'run-7', status: 'ready', message: '' },
    ]);

    await ok(['cart', 'get', 'run-7', '--output', 'run-7.tar']);
    execFileSync('tar', ['xf', 'run-7.tar'], { cwd: home });
    expect(readdirSync(join(home, 'run-7/tree')).sort()).toEqual(['big', 'empty', 'sub']);
    for (const file of ['tree/sub/größe Ω.csv', 'tree/empty', 'tree/big']) {
      expect(sum('sha1sum', `run-7/${file}`)).toBe(sum('sha1sum', file));
    }
    expect((await ok(['cart', 'get', 'run-7'])).stdout.equals(readFileSync(join(home, 'run-7.tar')))).toBe(true);

    expect((await ok(['cart', 'delete', 'run-7', '--json'])).lines()).toEqual([{ uid: 'run-7', deleted: true }]);
    for (const words of [['status'], ['get'], ['delete']])
      expect((await run(['cart', ...words, 'run-7'])).code).toBe(3);
  });

  it('makes up a uid, reads the list from standard input, and takes the list alone', async () => {
    const { fileids } = await cartOf(daemon, Number(job));
    const input = JSON.stringify(fileids);
    const [made] = (await ok(['cart', 'create', '--file', '-', '--bundle', '--wait', '--json'], { input })).lines();
    expect(made).toEqual({ uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as string, status: 'ready' });
  });

  it('ends with 6 when a hash is wrong: of a cart, and of a ready bundle', async () => {
    const { fileids } = await cartOf(daemon, Number(job));
    const wrong = fileids.map((file) => ({ ...file, hashsum: '0'.repeat(40) }));
    const cart = await run(['cart', 'create', 'wrong', '-f', '-', '--wait'], { input: JSON.stringify(wrong) });
    expect({ code: cart.code, uid: cart.text() }).toEqual({ code: 6, uid: 'wrong\n' });
    expect(cart.stderr).toMatch(/^Error: cart wrong failed: .*tree\/big/);
    expect((await run(['cart', 'get', 'wrong'])).code).toBe(6);
    expect((await run(['cart', 'status', 'wrong'])).code).toBe(0);

    const { file } = makeBundle(home, [{ path: 'x', content: 'x' }], {
      change: (entries) => entries.map((entry) => ('hashsum' in entry ? { ...entry, hashsum: '0'.repeat(40) } : entry)),
    });
    const upload = await run(['ingest', 'upload', file, '--wait']);
    expect(upload.code).toBe(6);
    const failed = upload.text().trim();
    expect(upload.stderr).toMatch(new RegExp(`^Error: job ${failed} failed in "[^"]+": .*x.*0000000`));
    expect((await run(['ingest', 'state', failed, '--watch'])).code).toBe(6);
    expect((await ok(['ingest', 'state', failed, '--json'])).lines()).toMatchObject([{ state: 'FAILED' }]);
  });

  it('sends a ready bundle as it is', async () => {
    const { file } = makeBundle(home, [{ path: 'a b/c', content: 'ready\n' }], { metadata: 'first' });
    const [state] = (await ok(['ingest', 'upload', file, '--wait', '--json'])).lines();
    expect(state).toMatchObject({ state: 'OK', complete: true });
  });

  it.each([
    ['an upload without facts', ['ingest', 'upload', 'tree'], 2, /needs --project, --instrument and --submitter/],
    ['an upload of nothing', ['ingest', 'upload', 'no', '-p', '1', '-i', '1', '-s', '1'], 3, /there is no file no/],
    ['a key without value', ['ingest', 'upload', 'tree', '-p', '1', '-i', '1', '-s', '1', '-k', 'x'], 2, /is not K=V/],
    ['an unknown job', ['ingest', 'state', '99999'], 3, /99999/],
    ['a job that is no number', ['ingest', 'state', 'abc'], 2, /abc/],
    ['a list that is not there', ['cart', 'create', '-f', 'none.json'], 3, /there is no file none\.json/],
    ['a list that is no JSON', ['cart', 'create', '-f', 'tree/big'], 2, /tree\/big is no JSON/],
    ['a uid that is none', ['cart', 'create', 'a/b', '-f', 'list.json'], 2, /cart uid "a\/b"/],
    ['a folder under one id', ['archive', 'put', 'tree', '--id', '1'], 2, /3 files for 1 id: nothing was stored/],
    ['an id that is none', ['archive', 'put', 'foo.bin', '--id', '../x'], 2, /archive id "\.\.\/x" is not valid/],
    ['a folder as output', ['archive', 'get', '12345', '-o', 'tree'], 2, /tree is a folder/],
    ['an output without a folder', ['archive', 'get', '12345', '-o', 'no/x'], 3, /there is no folder .*no/],
    ['JSON and bytes at once', ['archive', 'get', '12345', '--json'], 2, /--json needs --output/],
  ])('refuses %s', async (_, args, code, message) => {
    const result = await run(args);
    expect(result.stdout).toHaveLength(0);
    expect({ code: result.code, stderr: result.stderr }).toMatchObject({ code });
    const text = args.includes('--json')
      ? (JSON.parse(result.stderr) as { error: { message: string } }).error.message
      : result.stderr;
    expect(text).toMatch(message);
    // one line for what, one for what to do
    expect(result.stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });

  it('moves files that lie on the server, or says why not', async () => {
    const metadata = JSON.stringify([{ destinationTable: 'Transactions.submitter', value: 10 }]);
    const { code, stderr } = await run(['ingest', 'move', '-'], { input: metadata });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/^Error: /);
  });
});

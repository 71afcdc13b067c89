import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { sha1 } from '../support/bundle.js';
import { type CliResult, pacifica } from '../support/cli.js';
import { type CartRequest, cartEnd, postCart } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { startServer } from '../support/server.js';
import { onTerminal } from '../support/terminal.js';
import { until } from '../support/until.js';

// the commands about carts, those of an administrator too, beside a running daemon

type File = CartRequest['fileids'][number];

const home = mkdtempSync(join(tmpdir(), 'pacifica-cart-commands-'));
const data = join(home, 'data');
let daemon: Daemon;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  daemon = await startServe(data, { PACIFICA_CARTD_COPY: 'always' });
  env = { PACIFICA_CART_URL: daemon.urls.cart };
});
afterAll(async () => {
  await daemon.stop();
  rmSync(home, { recursive: true, force: true });
});

const run = (...args: string[]): Promise<CliResult> => pacifica(args, { cwd: home, env });
const admin = (...args: string[]): Promise<CliResult> => run(...args, '--data-dir', data);

/** Lays a file into the archive. @returns it as a file of a cart */
function lay(id: string, path: string, content: string): File {
  mkdirSync(join(data, 'archive'), { recursive: true });
  const place = join(data, 'archive', id);
  rmSync(place, { force: true });
  writeFileSync(place, content, { mode: 0o444 });
  return { id, path, hashtype: 'sha1', hashsum: sha1(Buffer.from(content)) };
}

async function cart(uid: string, files: File[]): Promise<string> {
  await postCart(daemon, uid, { fileids: files });
  return cartEnd(daemon, uid);
}

async function status(uid: string): Promise<number> {
  return (await fetch(`${daemon.urls.cart}/${uid}`, { method: 'HEAD' })).status;
}

describe('cart status', () => {
  it('tells progress, and as JSON every failed file and the state', async () => {
    const files = Array.from({ length: 9 }, (_, n) => lay(`10${n}`, `d/${n}`, `content ${n}`));
    for (const n of [2, 3, 4, 5, 6, 7, 8]) rmSync(join(data, 'archive', `10${n}`));
    expect(await cart('failed', files)).toBe('error');
    const { code, stdout } = await run('cart', 'status', 'failed');
    expect(code).toBe(0);
    expect(stdout.toString()).toMatch(
      /^Cart: +failed\nStatus: +error\nFiles: +2 of 9\nSize: +18 B of 18 B\nMessage: +7 of 9 files failed: d\/2: .*; and 2 more\n$/,
    );
    const [json] = (await run('cart', 'status', 'failed', '--json')).lines();
    expect(json).toMatchObject({ uid: 'failed', status: 'error', files: { total: 9, ready: 2 } });
    const { failures } = json as { failures: { path: string; message: string }[] };
    expect(failures.map(({ path }) => path)).toEqual(['d/2', 'd/3', 'd/4', 'd/5', 'd/6', 'd/7', 'd/8']);
    for (const { message } of failures) expect(message).not.toBe('');
  });

  it('watches: ends when the cart does, as the cart does', async () => {
    expect(await cart('good', [lay('1', 'a', 'a')])).toBe('ready');
    const { code, text } = await run('cart', 'status', 'good', '--watch');
    expect(code).toBe(0);
    expect(text()).toMatch(/Status: +ready\nFiles: +1 of 1\nSize: +1 B of 1 B\n$/);
    const bad = { ...lay('1', 'a', 'a'), hashsum: sha1(Buffer.from('b')) };
    expect(await cart('bad', [bad])).toBe('error');
    expect((await run('cart', 'status', 'bad', '--watch')).code).toBe(6);
    expect((await run('cart', 'status', 'nobody', '--watch')).code).toBe(3);
  });
});

describe('cart get', () => {
  const odd = ['a/b/c.txt', 'a/new\nline', 'back\\slash', 'Größe/ü', 'car\rriage', '\u2028', `${'long/'.repeat(60)}x`];

  it('checks each file against the manifest while it writes', async () => {
    expect(
      await cart(
        'whole',
        odd.map((path, n) => lay(String(200 + n), path, `${path} ${n}`)),
      ),
    ).toBe('ready');
    const { code, stderr } = await run('cart', 'get', 'whole', '-o', 'whole.tar');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    execFileSync('tar', ['xf', 'whole.tar'], { cwd: home });
    for (const [n, path] of odd.entries()) expect(readFileSync(join(home, 'whole', path), 'utf8')).toBe(`${path} ${n}`);

    // bytes that rot on the volume of the cart, of the right length
    const path = join(data, 'cart/cartuids/whole/a/b/c.txt');
    chmodSync(path, 0o644);
    writeFileSync(path, 'A/b/c.txt 0');
    const rotten = await run('cart', 'get', 'whole', '-o', 'rotten.tar');
    expect(rotten.code).toBe(6);
    expect(rotten.stderr).toMatch(/^Error: "a\/b\/c\.txt" came with sha1 [0-9a-f]{40}, it should be [0-9a-f]{40}\n$/);
    expect(readdirSync(home).filter((name) => name.includes('rotten'))).toEqual([]);
    const piped = await run('cart', 'get', 'whole');
    expect(piped.code).toBe(6);
    const extracted = await run('cart', 'get', 'whole', '--extract', 'rotten');
    expect(extracted.code).toBe(6);
    expect(existsSync(join(home, 'rotten/a/b/c.txt'))).toBe(false);
  });

  it('--extract puts the files into a folder, with their times, and replaces what is there', async () => {
    expect(
      await cart(
        'out',
        odd.map((path, n) => lay(String(300 + n), path, `${path} ${n}`)),
      ),
    ).toBe('ready');
    mkdirSync(join(home, 'out/a/b'), { recursive: true });
    writeFileSync(join(home, 'out/a/b/c.txt'), 'old');
    const { code, text, stderr } = await run('cart', 'get', 'out', '--extract', 'out');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(text()).toMatch(/^cart out: 7 files, .* in out\n$/);
    for (const [n, path] of odd.entries()) expect(readFileSync(join(home, 'out', path), 'utf8')).toBe(`${path} ${n}`);
    const mtime = Math.floor(statSync(join(data, 'archive/300')).mtimeMs / 1000);
    expect(statSync(join(home, 'out/a/b/c.txt')).mtimeMs).toBe(mtime * 1000);
    expect(readdirSync(join(home, 'out/a/b'))).toEqual(['c.txt']);
    const json = await run('cart', 'get', 'out', '-x', 'out', '--json');
    expect(json.lines()).toMatchObject([{ folder: 'out', files: 7 }]);
    expect((await run('cart', 'get', 'out', '-x', 'out', '-o', 'x')).code).toBe(2);
  });

  it('--extract follows no link that somebody laid', async () => {
    expect(await cart('linked', [lay('400', 'a/b', 'b')])).toBe('ready');
    mkdirSync(join(home, 'elsewhere'));
    mkdirSync(join(home, 'linked'));
    symlinkSync('../elsewhere', join(home, 'linked/a'));
    const { code, stderr } = await run('cart', 'get', 'linked', '--extract', 'linked');
    expect(code).toBe(7);
    expect(stderr).toContain('linked/a is there and is no folder');
    expect(readdirSync(join(home, 'elsewhere'))).toEqual([]);
    // a link in the place of the file is replaced, not written through
    rmSync(join(home, 'linked'), { recursive: true });
    mkdirSync(join(home, 'linked/a'), { recursive: true });
    writeFileSync(join(home, 'elsewhere/kept'), 'kept');
    symlinkSync('../../elsewhere/kept', join(home, 'linked/a/b'));
    expect((await run('cart', 'get', 'linked', '--extract', 'linked')).code).toBe(0);
    expect(readFileSync(join(home, 'elsewhere/kept'), 'utf8')).toBe('kept');
    expect(readFileSync(join(home, 'linked/a/b'), 'utf8')).toBe('b');
  });
});

describe('cart list', () => {
  it('shows carts, and their files', async () => {
    expect(await cart('listed', [lay('500', 'x/y', 'five')])).toBe('ready');
    const { code, text } = await admin('cart', 'list');
    expect(code).toBe(0);
    expect(text().split('\n')[0]).toMatch(
      /^UID +STATUS +FILES +SIZE +ON DISK +CREATED \(UTC\) +LAST USED \(UTC\) +MESSAGE$/,
    );
    expect(text()).toMatch(/^listed +ready +1 +4 B +8\.0 KiB +\d{4}-\d\d-\d\d /m);
    expect((await admin('cart', 'list', '--files')).text()).toMatch(/^listed .*\n {2}500 {2}x\/y {2}staged\n/m);
    const lines = (await admin('cart', 'list', '--json')).lines() as { uid: string }[];
    expect(lines.find(({ uid }) => uid === 'listed')).toMatchObject({
      status: 'ready',
      files_total: 1,
      bytes_ready: 4,
      files: [
        { id: '500', path: 'x/y', hashtype: 'sha1', hashsum: sha1(Buffer.from('five')), size: 4, status: 'staged' },
      ],
    });
    expect((await run('cart', 'list', '--data-dir', join(home, 'none'))).code).toBe(3);
  });
});

describe('cart fixit', () => {
  it('has missing and wrong files brought again, of several carts, also named by --cartid', async () => {
    for (const uid of ['fix1', 'fix2', 'fix3']) {
      expect(await cart(uid, [lay('600', 'a', 'six'), lay('601', 'b', 'seven')])).toBe('ready');
    }
    rmSync(join(data, 'cart/cartuids/fix1/a'));
    chmodSync(join(data, 'cart/cartuids/fix2/b'), 0o644);
    writeFileSync(join(data, 'cart/cartuids/fix2/b'), 'SEVEN');
    const { code, text, stderr } = await admin(
      'cart',
      'fixit',
      'fix1',
      'nobody',
      '--cartid',
      'fix2',
      '--cartid',
      'fix3',
    );
    expect(code).toBe(3);
    expect(stderr).toMatch(/^Error: there is no cart nobody/);
    expect(text()).toBe(
      'fix1: 1 of 2 files are brought again\nfix2: 1 of 2 files are brought again\nfix3: all 2 files are right\n',
    );
    for (const uid of ['fix1', 'fix2']) expect(await cartEnd(daemon, uid)).toBe('ready');
    expect(readFileSync(join(data, 'cart/cartuids/fix1/a'), 'utf8')).toBe('six');
    expect(readFileSync(join(data, 'cart/cartuids/fix2/b'), 'utf8')).toBe('seven');
    expect((await admin('cart', 'fixit', 'fix1', '--json')).lines()).toEqual([
      { uid: 'fix1', status: 'ready', wrong: 0 },
    ]);
    expect((await admin('cart', 'fixit')).code).toBe(2);
  });
});

describe('cart purge', () => {
  it('deletes by age beside the daemon, never what is being downloaded', async () => {
    const big = 'x'.repeat(40_000_000);
    expect(await cart('busy', [lay('700', 'big', big)])).toBe('ready');
    expect(await cart('idle', [lay('701', 'a', 'a')])).toBe('ready');
    // half a download: the rest waits in the daemon
    const answer = await fetch(`${daemon.urls.cart}/busy?filename=busy.tar`);
    const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = answer.body?.getReader();
    let length = (await reader?.read())?.value?.length ?? 0;

    expect((await admin('cart', 'purge')).text()).toBe('');
    const dry = await admin('cart', 'purge', '--time-ago', '0.001 seconds ago', '--dry-run', '--json');
    const would = (dry.lines() as { uid: string; purged: boolean }[]).filter(({ uid }) =>
      ['busy', 'idle'].includes(uid),
    );
    expect(would).toMatchObject([{ uid: 'idle', purged: false }]);
    expect(await status('idle')).toBe(204);

    const { code, text } = await admin('cart', 'purge', '--time-ago', '0 seconds');
    expect(code).toBe(0);
    expect(text().split('\n')).toContain('idle');
    expect(text().split('\n')).not.toContain('busy');
    expect(await status('idle')).toBe(404);
    expect(existsSync(join(data, 'cart/cartuids/idle'))).toBe(false);
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read())
      length += part.value.length;
    expect(length).toBe(Number(answer.headers.get('content-length')));
    await until('the download has ended', async () =>
      (await admin('cart', 'purge', '--time-ago', '0 seconds')).text().includes('busy'),
    );
    expect(readdirSync(join(data, 'cart'))).toEqual(['cartuids']);
  });

  it('deletes what is older than 180 days when it is not told an age', async () => {
    const database = await Database.open(`sqlite://${join(data, 'pacifica.db')}`);
    for (const [uid, days] of [
      ['aged', 181],
      ['young', 179],
    ] as const) {
      expect(await cart(uid, [lay('702', 'a', 'a')])).toBe('ready');
      const at = Date.now() - days * 86_400_000;
      await database.writeStatement('UPDATE pacifica_cart SET used = $at, ready = $at WHERE uid = $uid', { at, uid });
    }
    await database.close();
    expect((await admin('cart', 'purge')).text()).toBe('aged\n');
    expect(await status('young')).toBe(204);
  });

  it.each(['soon', '60 fortnights', '-1 days', 'days', '1e3 days', ''])('refuses %j as an age', async (age) => {
    const { code, stderr } = await admin('cart', 'purge', '--time-ago', age);
    expect(code).toBe(2);
    expect(stderr).toContain('"60 days ago"');
  });
});

it('a bar shows how far a cart is that is waited for', async () => {
  let asked = 0;
  const server = await startServer((_req, res) => {
    asked += 1;
    res.writeHead(204, {
      'x-pacifica-status': asked < 7 ? 'staging' : 'ready',
      'x-pacifica-message': '',
      'x-pacifica-files-ready': asked,
      'x-pacifica-files-total': 7,
      'x-pacifica-bytes-ready': asked * 1000,
      'x-pacifica-bytes-total': 7000,
    });
    res.end();
  });
  const { code, screen } = await onTerminal(['cart', 'status', 'many', '--watch', '--cart-url', server.url], {
    env,
    cwd: home,
  });
  await server.close();
  expect(code).toBe(0);
  expect(screen).toMatch(/cart many is staging \[[=-]+\] (57|71|85)%/);
  expect(screen).toMatch(/Status: +ready\r\nFiles: +7 of 7/);
});

it('a list beyond [cartd] body_limit is refused by the daemon, announced or not, and leaves nothing', async () => {
  const folder = join(home, 'limited');
  const limited = await startServe(folder, { PACIFICA_CARTD_BODY_LIMIT: '2048' });
  mkdirSync(join(folder, 'archive'), { recursive: true });
  writeFileSync(join(folder, 'archive', '1'), 'one', { mode: 0o444 });
  const file = { id: '1', path: 'one', hashtype: 'sha1', hashsum: sha1(Buffer.from('one')) };
  const request = (padding: number): string => JSON.stringify({ fileids: [file], note: 'x'.repeat(padding) });
  // a stream goes without a length
  const post = (uid: string, body: RequestInit['body']): Promise<Response> =>
    fetch(`${limited.urls.cart}/${uid}`, { method: 'POST', body, duplex: 'half' });
  for (const [uid, body] of [
    ['announced', request(2048)],
    ['chunked', new Blob([request(2048)]).stream()],
  ] as const) {
    const answer = await post(uid, body);
    expect(answer.status).toBe(413);
    expect(await answer.text()).toContain(
      'larger than the 2.0 KiB that are taken (ask for several carts, or raise [cartd] body_limit)',
    );
    expect((await fetch(`${limited.urls.cart}/${uid}`, { method: 'HEAD' })).status).toBe(404);
  }
  expect((await post('fits', request(1000))).status).toBe(201);
  expect(await cartEnd(limited, 'fits')).toBe('ready');
  await limited.stop();
});

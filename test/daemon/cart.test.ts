import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CartSite, startCartSite } from '../support/cart.js';
import { curl } from '../support/curl.js';
import { run } from '../support/run.js';

let site: CartSite;
let url: string;
let hello: { id: string; hashtype: string; hashsum: string };
let world: { id: string; hashtype: string; hashsum: string };

beforeAll(async () => {
  site = await startCartSite();
  url = site.server.url;
  hello = await site.put(12345, 'hello', 1_478_000_000_900);
  world = await site.put('foo.txt', 'world\n');
});
afterAll(() => site.close());

const post = (uid: string, body: string, ...args: string[]): ReturnType<typeof curl> =>
  curl(['-X', 'POST', '--data-binary', '@-', ...args, `${url}/${uid}`], Buffer.from(body));
const head = (uid: string): ReturnType<typeof curl> => curl(['--head', `${url}/${uid}`]);

async function ready(uid: string, extra: object = {}): Promise<void> {
  const files = [
    { ...hello, path: '1/2/3/hello.txt' },
    { ...world, path: '1/world.txt' },
  ];
  expect(await site.post(uid, files, extra)).toBe(201);
  expect(await site.end(uid)).toBe('ready');
}

/** A cart that stays where it is until its job is run by hand. */
async function waiting(uid: string, extra: object = {}): Promise<string> {
  site.queue.paused = true;
  expect(await site.post(uid, [{ ...hello, path: 'a' }], extra)).toBe(201);
  site.queue.paused = false;
  return site.queue.noted.at(-1) ?? '';
}

describe('the wire', () => {
  it('GET / tells that it runs', async () => {
    const answer = await curl([`${url}/`]);
    expect(answer.status).toBe(200);
    expect(answer.header('content-type')).toBe('application/json');
    expect(answer.text()).toBe('{"message": "Pacifica Cartd Interface Up and Running"}');
    expect((await curl(['--head', `${url}/`])).status).toBe(200);
  });

  it('POST makes a cart, whatever the Content-Type', async () => {
    const body = JSON.stringify({ fileids: [{ ...hello, path: 'a', more: 1 }], other: [] });
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', '']) {
      const answer = await post('typed', body, '-H', `Content-Type: ${type}`);
      expect(answer.status).toBe(201);
      expect(answer.text()).toBe('{"message": "Cart Processing has begun"}');
    }
    expect(await site.end('typed')).toBe('ready');
  });

  it("takes the documents' own curl line, sent chunked or with a length", async () => {
    const file = join(site.folder, 'foo.json');
    writeFileSync(
      file,
      JSON.stringify({ fileids: [{ id: 'foo.txt', path: '1/2/3/foo.txt', hashtype: 'md5', hashsum: '' }] }),
    );
    for (const more of [[], ['-H', 'Transfer-Encoding: chunked']]) {
      const answer = await curl(['-X', 'POST', '--upload-file', file, ...more, `${url}/documents`]);
      expect(answer.status).toBe(201);
    }
    // an empty hash matches nothing
    expect(await site.end('documents')).toBe('error');
    expect((await head('documents')).header('x-pacifica-message')).toContain('File hash does not match provided hash');
  });

  it('HEAD says staging until the cart is ready, with both headers', async () => {
    const id = await waiting('slow');
    const before = await head('slow');
    expect(before.status).toBe(204);
    expect(before.rawHeaders).toEqual(
      expect.arrayContaining([
        ['Content-Type', 'application/json'],
        ['X-Pacifica-Status', 'staging'],
        ['X-Pacifica-Message', ''],
        ['X-Pacifica-Files-Ready', '0'],
        ['X-Pacifica-Files-Total', '1'],
        ['X-Pacifica-Bytes-Ready', '0'],
      ]),
    );
    expect(before.header('content-length')).toBeUndefined();
    // nobody has been asked for sizes yet
    expect(before.header('x-pacifica-bytes-total')).toBeUndefined();

    const get = await curl([`${url}/slow`]);
    expect(get.status).toBe(202);
    expect(get.json()).toEqual({ message: 'The cart is not ready for download.' });

    await site.queue.add('cart', id);
    expect(await site.end('slow')).toBe('ready');
    const after = await head('slow');
    expect(after.status).toBe(204);
    expect(after.rawHeaders).toEqual(
      expect.arrayContaining([
        ['X-Pacifica-Status', 'ready'],
        ['X-Pacifica-Message', ''],
        ['X-Pacifica-Files-Ready', '1'],
        ['X-Pacifica-Bytes-Ready', '5'],
        ['X-Pacifica-Bytes-Total', '5'],
      ]),
    );
  });

  it('HEAD says bundling only to those who asked for a bundle', async () => {
    for (const [uid, extra, status] of [
      ['asked', { bundle: true }, 'bundling'],
      ['not-asked', {}, 'staging'],
    ] as const) {
      const id = Number(await waiting(uid, extra));
      await site.tables.claim(id, 'run');
      await site.tables.journal(id, 'run', { status: 'bundling' });
      expect((await head(uid)).header('x-pacifica-status')).toBe(status);
      await site.queue.add('cart', String(id));
      expect(await site.end(uid)).toBe('ready');
    }
  });

  it('an unknown cart is 404 for all', async () => {
    const answer = await head('nobody');
    expect(answer.status).toBe(404);
    expect(answer.header('x-pacifica-status')).toBe('error');
    expect(answer.header('x-pacifica-message')).toBe('No cart with uid nobody found');
    const get = await curl([`${url}/nobody`]);
    expect(get.status).toBe(404);
    expect(get.json()).toMatchObject({
      status: '404 Not Found',
      message: 'The cart does not exist or has already been deleted',
      traceback: '',
    });
    for (const path of ['nobody/status', 'nobody/manifest']) expect((await curl([`${url}/${path}`])).status).toBe(404);
    const gone = await curl(['-X', 'DELETE', `${url}/nobody`]);
    expect(gone.status).toBe(404);
    expect(gone.json()).toMatchObject({ status: '404 Not Found', traceback: '' });
  });

  it('a failed cart is 500 with its message, for HEAD and GET', async () => {
    await site.post('failed', [
      { ...hello, path: 'good' },
      { id: '9999', path: 'Größe\n.txt', hashtype: 'sha1', hashsum: hello.hashsum },
    ]);
    expect(await site.end('failed')).toBe('error');
    const answer = await head('failed');
    expect(answer.status).toBe(500);
    expect(answer.header('x-pacifica-status')).toBe('error');
    const message = answer.header('x-pacifica-message') ?? '';
    expect(message).toMatch(/^1 of 2 files failed: Gr%C3%B6%C3%9Fe \.txt: .*9999/);
    const get = await curl([`${url}/failed`]);
    expect(get.status).toBe(500);
    expect(get.json()).toMatchObject({ status: '500 Internal Server Error', message, traceback: '' });
  });

  it('DELETE removes it, the second time is 404', async () => {
    await ready('deleted');
    const answer = await curl(['-X', 'DELETE', `${url}/deleted`]);
    expect(answer.status).toBe(200);
    expect(answer.text()).toBe('{"message": "Cart Deleted Successfully"}');
    expect((await curl(['-X', 'DELETE', `${url}/deleted`])).status).toBe(404);
    expect((await head('deleted')).header('x-pacifica-message')).toBe('No cart with uid deleted found');
    expect((await curl([`${url}/deleted`])).status).toBe(404);
    expect(readdirSync(join(site.volume, 'cartuids'))).not.toContain('deleted');
  });

  it('a uid that is posted again is a new cart', async () => {
    await ready('again');
    await site.post('again', [{ ...world, path: 'other' }]);
    expect(await site.end('again')).toBe('ready');
    const { body } = await curl([`${url}/again?filename=x.tar`]);
    writeFileSync(join(site.folder, 'again.tar'), body);
    const names = await run('tar', ['tf', join(site.folder, 'again.tar')]);
    expect(names).toBe('x/\nx/other\n');
  });

  it.each(['PUT', 'PATCH'])('%s is 405 with Allow', async (method) => {
    const answer = await curl(['-X', method, `${url}/x`]);
    expect(answer.status).toBe(405);
    expect(answer.header('allow')).toMatch(/DELETE/);
    expect(answer.json()).toMatchObject({ status: '405 Method Not Allowed', traceback: '' });
    expect((await curl(['-X', 'DELETE', `${url}/`])).status).toBe(405);
    expect((await curl([`${url}/a/b`])).status).toBe(404);
  });
});

describe('what is refused', () => {
  const file = (): object => ({ ...hello, path: 'a' });
  const one = (change: object): string => JSON.stringify({ fileids: [{ ...file(), ...change }] });

  it.each<[string, () => string, string]>([
    ['no JSON', () => '{bad', 'Invalid JSON document'],
    ['no object', () => '[]', 'the body is not a JSON object'],
    ['no fileids', () => '{}', 'fileids is not a list'],
    ['fileids that are no list', () => '{"fileids": "x"}', 'fileids is not a list'],
    ['an empty list (fault 11)', () => '{"fileids": []}', 'fileids is empty'],
    ['a file that is no object', () => '{"fileids": ["x"]}', 'fileids[0] is not an object'],
    [
      'a bundle that is no flag',
      () => JSON.stringify({ fileids: [file()], bundle: 'yes' }),
      'bundle is not true or false',
    ],
    [
      'two lists',
      () => `{"fileids": [${JSON.stringify(file())}], "fileids": [${JSON.stringify(file())}]}`,
      'fileids is there twice',
    ],
    ['a hash of any length', () => one({ hashsum: 'a'.repeat(256) }), 'fileids[0].hashsum is longer than 255'],
    ['no id', () => one({ id: undefined }), 'fileids[0].id is not a string'],
    ['an id that leads elsewhere (fault 12)', () => one({ id: '../t/f30' }), 'fileids[0].id: archive id "../t/f30"'],
    ['an id with an escape (fault 12)', () => one({ id: '..%252Ft' }), 'fileids[0].id: archive id'],
    ['an id that is no integer', () => one({ id: 1.5 }), 'fileids[0].id'],
    ['an id with leading zeros', () => one({ id: '007' }), 'fileids[0].id'],
    ['no path', () => one({ path: undefined }), 'fileids[0].path is not a string'],
    ['a path that climbs (fault 12)', () => one({ path: '../../x' }), 'fileids[0].path: path "../../x"'],
    ['a path that climbs behind a slash', () => one({ path: '/../x' }), 'fileids[0].path: path "/../x"'],
    ['an empty path', () => one({ path: '/' }), 'fileids[0].path: path "/"'],
    ['a path with NUL', () => one({ path: 'a\0b' }), 'fileids[0].path: path "a\\u0000b"'],
    ['an unknown hash type (fault 16)', () => one({ hashtype: 'nope' }), 'fileids[0].hashtype: hash type "nope"'],
    ['no hash', () => one({ hashsum: null }), 'fileids[0].hashsum is not a string'],
    [
      'a path twice (fault 13)',
      () => JSON.stringify({ fileids: [file(), file()] }),
      'fileids[1].path: path "a" is there twice',
    ],
    [
      'a path twice but for its slash',
      () => JSON.stringify({ fileids: [file(), { ...file(), path: '/a' }] }),
      'fileids[1].path: path "a" is there twice',
    ],
    [
      'a file beside its own folder (fault 11)',
      () => JSON.stringify({ fileids: [file(), { ...file(), path: 'a/q' }] }),
      'fileids[1].path: path "a" is a file and also a folder',
    ],
  ])('%s', async (_, body, message) => {
    const answer = await post('refused', body());
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({
      status: '400 Bad Request',
      message: expect.stringContaining(message) as string,
      traceback: '',
    });
    expect((await head('refused')).status).toBe(404);
  });

  it.each([
    '..',
    '.',
    '%2e%2e',
    'a%2fb',
    '..%2f..%2fx',
    '..%252F..',
    '%E2%82%AC',
    'a%20b',
    'a%00b',
    '%zz',
    'x'.repeat(129),
  ])('the uid %s (fault 11)', async (uid) => {
    const body = JSON.stringify({ fileids: [file()] });
    expect((await post(uid, body)).status).toBe(400);
    expect((await curl([`${url}/${uid}`])).status).toBe(400);
    const answer = await head(uid);
    expect(answer.status).toBe(400);
    expect(answer.header('x-pacifica-status')).toBe('error');
    expect(answer.header('x-pacifica-message')).toMatch(/^cart uid /);
  });

  it('every character that a uid may have is taken', async () => {
    const uid = `aZ09._~-${'x'.repeat(120)}`;
    await ready(uid);
    expect((await curl([`${url}/${uid}`])).status).toBe(200);
  });

  it('a list beyond the limit is 413', async () => {
    const small = await startCartSite({ bodyLimit: 1000 });
    const answer = await curl(
      ['-X', 'POST', '--data-binary', '@-', `${small.server.url}/big`],
      Buffer.from(`{"fileids": [${' '.repeat(2000)}]}`),
    );
    expect(answer.status).toBe(413);
    await small.close();
  });

  it.each([
    '../../evil.tar',
    '..',
    '.',
    '..tar',
    '...tar',
    '.tar',
    'a%2fb',
    'a%5cb',
    'a%0d%0aX-Evil:%201',
    'a%00',
    'a%7f',
    'x'.repeat(256),
  ])('the file name %s (fault 12)', async (name) => {
    await ready('names');
    const answer = await curl([`${url}/names?filename=${name}`]);
    expect(answer.status).toBe(400);
    expect(answer.header('x-evil')).toBeUndefined();
    expect(answer.header('content-disposition')).toBeUndefined();
  });
});

describe('what is taken', () => {
  it('hashes in any case (fault 16)', async () => {
    await site.post('upper', [{ ...hello, path: 'a', hashsum: hello.hashsum.toUpperCase(), hashtype: 'SHA1' }]);
    expect(await site.end('upper')).toBe('ready');
  });

  it('a hash that can be none, and the cart ends in error', async () => {
    await site.post('deadbeef', [{ ...hello, path: 'foo.txt', hashsum: 'deadbeef' }]);
    expect(await site.end('deadbeef')).toBe('error');
    expect((await head('deadbeef')).header('x-pacifica-message')).toBe(
      '1 of 1 files failed: foo.txt: File hash does not match provided hash: deadbeef was given',
    );
  });

  it('ids as integers and as text, one twice under two paths', async () => {
    await site.post('ids', [
      { ...hello, id: 12345, path: 'a' },
      { ...hello, path: 'b' },
    ]);
    expect(await site.end('ids')).toBe('ready');
  });
});

describe('the tar', () => {
  /** what a Python client sees of the raw stream, as deployed downloaders read it */
  const PYTHON = `
import hashlib, json, sys, tarfile, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer, tarfile.open(fileobj=answer, mode='r|') as tar:
    print(json.dumps([[m.name, m.mtime, hashlib.sha1(tar.extractfile(m).read()).hexdigest() if m.isfile() else None] for m in tar]))
`;

  it('has the name and the form of the originals', async () => {
    await ready('form');
    const answer = await curl([`${url}/form?filename=my_cart.tar`]);
    expect(answer.status).toBe(200);
    expect(answer.header('content-type')).toBe('application/octet-stream');
    expect(answer.header('content-disposition')).toBe('attachment; filename=my_cart.tar');
    expect(answer.header('content-encoding')).toBeUndefined();
    expect(answer.header('content-length')).toBe(String(answer.body.length));
    expect(answer.header('accept-ranges')).toBe('bytes');
    expect(answer.header('link')).toBe('<form/manifest>; rel="describedby"; type="text/plain"');
    expect(answer.header('etag')).toMatch(/^"[^"]+"$/);
    const readyAt = (await site.service.find('form'))?.ready ?? 0;
    const seen = JSON.parse(await run('python3', ['-c', PYTHON, `${url}/form?filename=my_cart.tar`])) as unknown;
    const folder = Math.floor(readyAt / 1000);
    expect(seen).toEqual([
      ['my_cart', folder, null],
      ['my_cart/1', folder, null],
      ['my_cart/1/2', folder, null],
      ['my_cart/1/2/3', folder, null],
      ['my_cart/1/2/3/hello.txt', 1_478_000_000, hello.hashsum],
      ['my_cart/1/world.txt', 1_600_000_000, world.hashsum],
    ]);
  });

  it.each([
    ['a.tar.tar.gz', 'a.tar.tar.gz'],
    ['my.tarball.tar', 'my.tarball'],
    ['x.tar.tar', 'x.tar'],
    ['data', 'data'],
  ])('filename=%s is in the folder %s (fault 20)', async (name, top) => {
    await ready('top');
    const answer = await curl([`${url}/top?filename=${name}`]);
    expect(answer.header('content-disposition')).toBe(`attachment; filename=${name}`);
    expect(answer.body.subarray(0, 100).toString().replace(/\0+$/, '')).toBe(`${top}/`);
  });

  it('saves under its name with curl -O -J', async () => {
    await ready('saved');
    await site.database.sequelize.query("UPDATE pacifica_cart SET ready = 1500000000000 WHERE uid = 'saved'");
    const out = join(site.folder, 'saved');
    mkdirSync(out);
    for (const query of ['?filename=my_cart.tar', '?filename=with%20blank.tar', '']) {
      await run('curl', ['-sSf', '-O', '-J', `${url}/saved${query}`], out);
    }
    expect(readdirSync(out).sort()).toEqual(['data_2017_07_14_02_40_00.tar', 'my_cart.tar', 'with blank.tar']);
    await run('tar', ['xf', 'my_cart.tar'], out);
    expect(readFileSync(join(out, 'my_cart/1/2/3/hello.txt'), 'utf8')).toBe('hello');
  });

  it('names that are not ASCII come by RFC 6266', async () => {
    await ready('umlaut');
    const answer = await curl([`${url}/umlaut?filename=${encodeURIComponent('Grüße 日本.tar')}`]);
    expect(answer.header('content-disposition')).toContain("filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%E6%97%A5%E6%9C%AC.tar");
  });

  it('gives ranges, with If-Range, and 416 with the length', async () => {
    await ready('ranges');
    const path = `${url}/ranges?filename=r.tar`;
    const whole = await curl([path]);
    const etag = whole.header('etag') ?? '';
    const part = await curl(['-H', 'Range: bytes=500-1999', path]);
    expect(part.status).toBe(206);
    expect(part.header('content-range')).toBe(`bytes 500-1999/${whole.body.length}`);
    expect(part.header('content-length')).toBe('1500');
    expect(part.header('etag')).toBe(etag);
    expect(part.body.equals(whole.body.subarray(500, 2000))).toBe(true);
    const tail = await curl(['-H', 'Range: bytes=-10', path]);
    expect(tail.body.equals(whole.body.subarray(-10))).toBe(true);

    expect((await curl(['-H', 'Range: bytes=0-9', '-H', `If-Range: ${etag}`, path])).status).toBe(206);
    expect((await curl(['-H', 'Range: bytes=0-9', '-H', 'If-Range: "other"', path])).status).toBe(200);
    expect((await curl(['-H', 'Range: bytes=0-9', '-H', `If-Range: W/${etag}`, path])).status).toBe(200);
    expect((await curl(['-H', 'Range: lines=0-9', path])).status).toBe(200);

    const outside = await curl(['-H', 'Range: bytes=99999999-', path]);
    expect(outside.status).toBe(416);
    expect(outside.header('content-range')).toBe(`bytes */${whole.body.length}`);
    expect(outside.json()).toMatchObject({ status: '416 Range Not Satisfiable', traceback: '' });
  });

  it('is another tar when the uid is posted again, and says so', async () => {
    const tags = new Set<string | undefined>();
    for (let time = 0; time < 2; time += 1) {
      await ready('tagged');
      tags.add((await curl(['-r', '0-0', `${url}/tagged?filename=a.tar`])).header('etag'));
    }
    expect(tags.size).toBe(2);
  });

  it('is another tar under another name, and says so', async () => {
    await ready('etag');
    const tag = async (query: string): Promise<string | undefined> =>
      (await curl(['-r', '0-0', `${url}/etag${query}`])).header('etag');
    expect(await tag('?filename=a.tar')).not.toBe(await tag('?filename=b.tar'));
    expect(await tag('?filename=a.tar')).toBe(await tag('?filename=a.tar'));
    expect(await tag('')).toBe(await tag(''));
  });

  it('a bundle is made on disk, in the folder of its uid', async () => {
    await ready('bundled', { bundle: true });
    const id = (await site.service.find('bundled'))?.id ?? 0;
    const answer = await curl([`${url}/bundled?filename=x.tar`]);
    expect(answer.header('content-disposition')).toBe('attachment; filename=x.tar');
    expect(answer.body.equals(readFileSync(join(site.volume, String(id), 'bundled.tar')))).toBe(true);
    expect(readFileSync(join(site.volume, 'cartuids', 'bundled')).equals(answer.body)).toBe(true);
    expect(readdirSync(join(site.volume, String(id))).sort()).toEqual(['@cart', 'bundled.tar']);
    const seen = JSON.parse(await run('python3', ['-c', PYTHON, `${url}/bundled`])) as unknown[];
    expect(seen).toHaveLength(6);
    expect(seen[4]).toEqual(['bundled/1/2/3/hello.txt', 1_478_000_000, hello.hashsum]);
    const part = await curl(['-r', '512-1023', `${url}/bundled`]);
    expect(part.status).toBe(206);
    expect(part.body.equals(answer.body.subarray(512, 1024))).toBe(true);
  });

  it('is a bundle for those who do not say, where [cartd] bundle_task is on', async () => {
    const bundling = await startCartSite({ settings: { bundleDefault: true } });
    const file = { ...(await bundling.put(1, 'one')), path: 'one' };
    for (const [uid, extra, bundle] of [
      ['silent', {}, true],
      ['null', { bundle: null }, true],
      ['against', { bundle: false }, false],
    ] as const) {
      expect(await bundling.post(uid, [file], extra)).toBe(201);
      expect(await bundling.end(uid)).toBe('ready');
      expect((await bundling.service.find(uid))?.bundle).toBe(bundle);
    }
    await bundling.close();
  });

  it('lies on the volume for sites that export it', async () => {
    await ready('exported');
    const id = (await site.service.find('exported'))?.id ?? 0;
    expect(readFileSync(join(site.volume, 'cartuids/exported/1/2/3/hello.txt'), 'utf8')).toBe('hello');
    const file = join(site.volume, String(id), 'exported', '1/world.txt');
    expect(statSync(file).mode & 0o777).toBe(0o444);
    expect(statSync(file).mtimeMs).toBe(1_600_000_000_000);
  });

  it('never follows a symbolic link that somebody laid on the volume', async () => {
    await ready('link');
    const outside = join(site.folder, 'outside');
    writeFileSync(outside, 'world!');
    const file = join(site.volume, 'cartuids/link/1/world.txt');
    rmSync(file);
    symlinkSync(outside, file);
    const answer = await curl([`${url}/link`]);
    expect(answer.body.includes('world!')).toBe(false);
    expect([answer.exitCode, answer.status]).not.toEqual([0, 200]);
  });

  it('ends with a cut connection when a file can not be read', async () => {
    const big = await site.put('big', Buffer.alloc(8 * 1024 * 1024, 'x'));
    await site.post('cut', [
      { ...big, path: 'a' },
      { ...hello, path: 'z' },
    ]);
    expect(await site.end('cut')).toBe('ready');
    const id = (await site.service.find('cut'))?.id ?? 0;
    await run('rm', [join(site.volume, String(id), 'cut', 'z')]);
    const answer = await curl([`${url}/cut`]);
    expect(answer.status).toBe(200);
    // 18: fewer bytes than announced
    expect(answer.exitCode).toBe(18);
    await run('rm', [join(site.volume, String(id), 'cut', 'a')]);
    const none = await curl([`${url}/cut`]);
    expect(none.status).toBe(500);
    expect(none.json()).toMatchObject({ traceback: '' });
    expect(none.text()).not.toContain(site.folder);
  });
});

describe('status and manifest', () => {
  it('the status tells all of it', async () => {
    await ready('told');
    const answer = await curl([`${url}/told/status`]);
    expect(answer.header('content-type')).toBe('application/json');
    expect(answer.json()).toMatchObject({
      uid: 'told',
      status: 'ready',
      message: '',
      bundle: false,
      files: { total: 2, ready: 2 },
      bytes: { total: 11, ready: 11 },
      failures: [],
    });
    await waiting('told-waiting');
    expect((await curl([`${url}/told-waiting/status`])).json()).toMatchObject({
      status: 'waiting',
      ready: null,
      files: { total: 1, ready: 0 },
      bytes: { total: null, ready: 0 },
    });
  });

  it('the status lists every file that failed', async () => {
    const missing = Array.from({ length: 1200 }, (_, n) => ({ ...hello, id: `gone-${n}`, path: `f${n}` }));
    await site.post('many', [...missing, { ...hello, path: 'good' }]);
    expect(await site.end('many')).toBe('error');
    const status = (await curl([`${url}/many/status`])).json() as { message: string; failures: object[] };
    expect(status.failures).toHaveLength(1200);
    expect(status.failures[0]).toMatchObject({ id: 'gone-0', path: 'f0' });
    expect(status.message).toMatch(/^1200 of 1201 files failed: f0: .*; and 1195 more$/);
    expect(status.message.length).toBeLessThanOrEqual(1024);
  });

  it.each(['sha1', 'md5', 'sha256', 'sha512'])('the manifest satisfies %ssum -c, odd names too', async (hashtype) => {
    const files = [
      'plain',
      'with blank',
      'back\\slash',
      'new\nline',
      '*star',
      'sub/Größe',
      'cr\rinside',
      'at its end\r',
    ];
    const hashsum = createHash(hashtype).update('hello').digest('hex');
    await site.post(
      'manifest',
      files.map((path) => ({ id: hello.id, path, hashtype, hashsum })),
    );
    expect(await site.end('manifest')).toBe('ready');
    const out = join(site.folder, hashtype);
    mkdirSync(out);
    await run('sh', ['-c', `curl -sSf '${url}/manifest?filename=m.tar' | tar x`], out);
    const manifest = await curl([`${url}/manifest/manifest`]);
    writeFileSync(join(out, 'm', 'SUMS'), manifest.body);
    const checked = await run(`${hashtype}sum`, ['--strict', '-c', 'SUMS'], join(out, 'm'));
    expect(checked.match(/: OK$/gm)).toHaveLength(files.length);
    writeFileSync(join(out, 'm', 'plain'), 'other');
    await expect(run(`${hashtype}sum`, ['--strict', '-c', 'SUMS'], join(out, 'm'))).rejects.toThrow();
  });

  it('the manifest of a cart that is not ready is answered as its tar', async () => {
    await waiting('unready');
    expect((await curl([`${url}/unready/manifest`])).status).toBe(202);
    await site.post('broken', [{ ...hello, path: 'a', hashsum: '' }]);
    expect(await site.end('broken')).toBe('error');
    expect((await curl([`${url}/broken/manifest`])).status).toBe(500);
  });
});

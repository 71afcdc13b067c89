import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { version } from '../../src/lib/version.js';
import { type ArchiveService, startArchive } from '../support/archive-service.js';
import { curl, type CurlAnswer } from '../support/curl.js';
import { expectSame } from '../support/streams.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';
const MTIME = 784_111_777;
const BYTES = Buffer.from('Writing content for first file');

let service: ArchiveService;

beforeEach(async () => {
  service = await startArchive();
  await mkdir(service.incoming);
});

afterEach(() => service.close());

async function put(id: string, bytes: Uint8Array, ...args: string[]): Promise<CurlAnswer> {
  return curl(
    ['-T', '-', '-H', 'Transfer-Encoding:', '-H', `Content-Length: ${bytes.length}`, ...args, `${service.url}/${id}`],
    bytes,
  );
}

async function get(path: string, ...args: string[]): Promise<CurlAnswer> {
  return curl([...args, `${service.url}/${path}`]);
}

async function head(id: string, ...args: string[]): Promise<CurlAnswer> {
  return curl(['--head', ...args, `${service.url}/${id}`]);
}

/** Every error has the shape of wire.md, whatever the client accepts. */
function expectError(answer: CurlAnswer, status: number, text: string): void {
  expect(answer.status).toBe(status);
  expect(answer.header('Content-Type')).toBe('application/json');
  const body = answer.json() as Record<string, unknown>;
  expect(Object.keys(body)).toEqual(['status', 'message', 'traceback', 'version']);
  expect(body.status).toMatch(new RegExp(`^${status} [A-Z]`));
  expect(body.message).toContain(text);
  expect(body).toMatchObject({ traceback: '', version });
}

/** Sends bytes as they are over a connection of its own. */
async function raw(text: string, options: { end?: boolean } = {}): Promise<string> {
  const { port } = new URL(service.url);
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true }, () => {
      if (options.end === true) socket.end(text);
      else socket.write(text);
    });
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('end', () => {
      socket.end();
      resolve(answer);
    });
    socket.on('error', reject);
  });
}

describe('GET /', () => {
  test('says that the service is up', async () => {
    const answer = await get('');
    expect(answer.status).toBe(200);
    expect(answer.header('Content-Type')).toBe('application/json');
    expect(answer.text()).toBe('{"message": "Pacifica Archive Interface Up and Running"}');
  });

  test('other methods there are 405 with Allow', async () => {
    const answer = await curl(['-X', 'DELETE', `${service.url}/`]);
    expectError(answer, 405, 'invalid for this resource');
    expect(answer.header('Allow')).toBe('GET, HEAD');
  });
});

describe('the target of a request', () => {
  // a proxy may pass on the whole URL (RFC 9112, 3.2.2), and whoever tries things out one that is none
  test('may be a whole URL; what is none is 400', async () => {
    await put('1', BYTES);
    const asking = 'HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    expect(await raw(`GET http://archive.example/1 ${asking}`)).toMatch(/^HTTP\/1\.1 200 /);
    const answer = await raw(`GET http://[::1 ${asking}`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"message": "The target of the request is no URL"');
  });
});

describe('PUT', () => {
  test('stores the bytes and answers to the byte', async () => {
    const answer = await put('1234', BYTES);
    expect(answer.status).toBe(201);
    expect(answer.header('Content-Type')).toBe('application/json');
    expect(answer.text()).toBe('{"message": "File added to archive", "total_bytes": "30"}');
    expectSame(await readFile(join(service.root, '1234')), BYTES);
    expect((await stat(join(service.root, '1234'))).mode & 0o7777).toBe(0o444);
  });

  test.each([
    ['an HTTP date', DATE],
    ['C ctime form, which old ingest sends', 'Sun Nov  6 08:49:37 1994'],
    ['the obsolete form of RFC 850', 'Sunday, 06-Nov-94 08:49:37 GMT'],
  ])('keeps the time of Last-Modified as %s', async (_form, date) => {
    expect((await put('1', BYTES, '-H', `Last-Modified: ${date}`)).status).toBe(201);
    expect((await stat(join(service.root, '1'))).mtimeMs).toBe(MTIME * 1000);
  });

  test.each([
    'yesterday',
    '2016-11-29T14:09:05',
    'Sun, 31 Feb 2021 08:49:37 GMT',
    '784111777',
    'Sun Nov  6 25:49:37 1994',
  ])('refuses Last-Modified: %s', async (date) => {
    expectError(await put('1', BYTES, '-H', `Last-Modified: ${date}`), 400, 'Last-Modified');
    expect(await filesBelow(service.root)).toEqual([]);
  });

  test('without Last-Modified the time is that of the request', async () => {
    await put('1', BYTES);
    expect(Math.abs((await stat(join(service.root, '1'))).mtimeMs - Date.now())).toBeLessThan(60_000);
  });

  test('overwrites by default', async () => {
    await put('1300', Buffer.alloc(100));
    expect((await put('1300', BYTES)).status).toBe(201);
    expectSame((await get('1300')).body, BYTES);
  });

  test.each([
    ['chunked', ['-H', 'Transfer-Encoding: chunked']],
    ['any Content-Type', ['-H', 'Content-Type: application/x-www-form-urlencoded']],
    ['no Content-Type', ['-H', 'Content-Type:']],
    ['Expect: 100-continue', ['-H', 'Expect: 100-continue']],
  ])('takes a body: %s', async (_what, args) => {
    const bytes = randomBytes(3_000_000);
    const answer = await curl(['-X', 'PUT', '-T', '-', ...args, `${service.url}/1301`], bytes);
    expect(answer.status).toBe(201);
    expect((answer.json() as { total_bytes: string }).total_bytes).toBe('3000000');
    expectSame((await get('1301')).body, bytes);
  });

  test('takes an empty file', async () => {
    const answer = await curl(['-X', 'PUT', '-H', 'Content-Length: 0', `${service.url}/1304`]);
    expect(answer.text()).toBe('{"message": "File added to archive", "total_bytes": "0"}');
    const file = await get('1304');
    expect([file.status, file.header('Content-Length')]).toEqual([200, '0']);
  });

  test('a body without any length is empty', async () => {
    const answer = await raw('PUT /1302 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 201 /);
  });

  test('a part of a file or an encoded one is refused', async () => {
    expectError(await put('1', BYTES, '-H', 'Content-Range: bytes 0-29/100'), 400, 'Content-Range');
    expectError(await put('1', BYTES, '-H', 'Content-Encoding: gzip'), 415, 'gzip');
    expect(await filesBelow(service.root)).toEqual([]);
  });

  test('a body that ends early is 400 and leaves the old file', async () => {
    await put('1303', BYTES);
    const answer = await raw('PUT /1303 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello', { end: true });
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"traceback": ""');
    expectSame(await readFile(join(service.root, '1303')), BYTES);
    await until('nothing is left over', async () => (await filesBelow(service.root)).length === 1);
  });

  test('a client that hangs up leaves nothing', async () => {
    for (const start of [
      'PUT /1303 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhello',
      'PUT /1303 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    ]) {
      const { port } = new URL(service.url);
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(start);
      const temporary = join(service.root, '.pacifica', 'tmp');
      await until('the file is being written', async () => (await filesBelow(temporary)).length === 1);
      socket.destroy();
      await until('nothing is left over', async () => (await filesBelow(service.root)).length === 0);
    }
    expectError(await get('1303'), 404, '1303');
  });

  test('a refusal comes before a body that was announced, and also in the middle of one', async () => {
    await put('5', BYTES);
    const big = randomBytes(20_000_000);
    for (const args of [
      ['-H', 'Expect: 100-continue'],
      ['-H', 'Expect:'],
    ]) {
      expectError(await curl(['-T', '-', '-H', 'If-None-Match: *', ...args, `${service.url}/5`], big), 412, 'already');
    }
    expectSame((await get('5')).body, BYTES);
  });
});

describe('conditional PUT', () => {
  test('If-None-Match: * creates only', async () => {
    expect((await put('1', BYTES, '-H', 'If-None-Match: *')).status).toBe(201);
    expectError(await put('1', Buffer.from('x'), '-H', 'If-None-Match: *'), 412, 'already');
    expectSame((await get('1')).body, BYTES);
  });

  test('If-Match replaces only that version', async () => {
    expectError(await put('1', BYTES, '-H', 'If-Match: "x"'), 412, '');
    const etag = (await put('1', BYTES)).header('ETag') ?? '';
    expect((await head('1')).header('ETag')).toBe(etag);
    expectError(await put('1', Buffer.from('x'), '-H', 'If-Match: "other"'), 412, '');
    expectSame((await get('1')).body, BYTES);
    expect((await put('1', Buffer.from('second'), '-H', `If-Match: "other", ${etag}`)).status).toBe(201);
    expectError(await put('1', Buffer.from('third'), '-H', `If-Match: ${etag}`), 412, '');
    expect((await get('1')).text()).toBe('second');
  });

  test('of many that replace the same version at once one wins', async () => {
    const etag = (await put('1', BYTES)).header('ETag') ?? '';
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => put('1', Buffer.from([index]), '-H', `If-Match: ${etag}`)),
    );
    const winners = answers.flatMap(({ status }, index) => (status === 201 ? [index] : []));
    expect(winners).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(9);
    expect([...(await get('1')).body]).toEqual(winners);
  });

  test('DELETE and PATCH hold to conditions too', async () => {
    const etag = (await put('1', BYTES)).header('ETag') ?? '';
    await writeFile(join(service.incoming, 'f'), 'new');
    const move = ['-X', 'PATCH', '-d', JSON.stringify({ path: join(service.incoming, 'f') })];
    expectError(await curl([...move, '-H', 'If-None-Match: *', `${service.url}/1`]), 412, '');
    expectError(await curl([...move, '-H', 'If-Match: "x"', `${service.url}/1`]), 412, '');
    expectError(await curl(['-X', 'DELETE', '-H', 'If-Match: "x"', `${service.url}/1`]), 412, '');
    expect((await curl(['-X', 'DELETE', '-H', `If-Match: ${etag}`, `${service.url}/1`])).status).toBe(200);
  });
});

describe('write-once', () => {
  beforeEach(async () => {
    await service.close();
    service = await startArchive({ writeOnce: true });
    await mkdir(service.incoming);
  });

  test('a PUT or PATCH to a taken id is 409 and the file is untouched', async () => {
    expect((await put('1', BYTES)).status).toBe(201);
    expectError(await put('1', Buffer.from('x')), 409, 'already');
    const path = join(service.incoming, 'f');
    await writeFile(path, 'new');
    expectError(await curl(['-X', 'PATCH', '-d', JSON.stringify({ path }), `${service.url}/1`]), 409, 'already');
    expectSame((await get('1')).body, BYTES);
    expect((await readFile(path)).toString()).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o644);
  });

  test('holds in a race', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => put('1', Buffer.alloc(100_000, index))));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 11 }, () => 409)]);
    const winner = answers.findIndex(({ status }) => status === 201);
    expectSame((await get('1')).body, Buffer.alloc(100_000, winner));
  });
});

describe('GET', () => {
  beforeEach(() => put('1234', BYTES, '-H', `Last-Modified: ${DATE}`));

  test('sends the bytes with length, validators and a real date', async () => {
    const answer = await get('1234');
    expect(answer.status).toBe(200);
    expectSame(answer.body, BYTES);
    expect(answer.header('Content-Type')).toBe('application/octet-stream');
    expect(answer.header('Content-Length')).toBe('30');
    expect(answer.header('Last-Modified')).toBe(DATE);
    expect(answer.header('Accept-Ranges')).toBe('bytes');
    expect(answer.header('ETag')).toMatch(/^"[^"]+"$/);
    expect(answer.header('Content-Encoding')).toBeUndefined();
  });

  test.each([
    ['0-10', 'Writing co'],
    ['5-10', 'ng co'],
    ['20-1000', 'first file'],
    ['0-1000000000000000', BYTES.toString()],
    ['100-200', ''],
    ['10-5', ''],
    ['0-0', ''],
  ])('the old byte_range=%s', async (range, text) => {
    const answer = await get(`1234?byte_range=${range}`);
    expect([answer.status, answer.text(), answer.header('Content-Length')]).toEqual([200, text, String(text.length)]);
    expect(answer.header('Content-Type')).toBe('application/octet-stream');
  });

  test.each(['abc', '5-', '-5', '1-2-3', '0x1-5', '', '1-2&byte_range=3-4'])('byte_range=%s is 400', async (range) => {
    expectError(await get(`1234?byte_range=${range}`), 400, 'byte_range');
  });

  test.each([
    ['bytes=0-4', 206, 'Writi', 'bytes 0-4/30'],
    ['bytes=25-', 206, ' file', 'bytes 25-29/30'],
    ['bytes=-5', 206, ' file', 'bytes 25-29/30'],
    ['bytes=20-1000', 206, 'first file', 'bytes 20-29/30'],
    ['bytes=-1000', 206, BYTES.toString(), 'bytes 0-29/30'],
    ['lines=0-4', 200, BYTES.toString(), undefined],
    ['bytes=9-5', 200, BYTES.toString(), undefined],
    ['nonsense', 200, BYTES.toString(), undefined],
  ])('Range: %s', async (range, status, text, contentRange) => {
    const answer = await get('1234', '-H', `Range: ${range}`);
    expect([answer.status, answer.text(), answer.header('Content-Range')]).toEqual([status, text, contentRange]);
    expect(answer.header('Content-Length')).toBe(String(text.length));
  });

  test('a range outside of the file is 416 and tells the size', async () => {
    const answer = await get('1234', '-H', 'Range: bytes=30-');
    expectError(answer, 416, 'outside');
    expect(answer.header('Content-Range')).toBe('bytes */30');
  });

  test('several ranges come as one multipart body of known length', async () => {
    const answer = await get('1234', '-H', 'Range: bytes=0-4,10-14,-5');
    expect(answer.status).toBe(206);
    const type = answer.header('Content-Type') ?? '';
    expect(type).toMatch(/^multipart\/byteranges; boundary=/);
    expect(answer.header('Content-Length')).toBe(String(answer.body.length));
    expect(answer.header('Content-Range')).toBeUndefined();
    // Python's mail parser takes it apart
    const program =
      'import email, sys; print([[p["Content-Range"], p["Content-Type"], p.get_payload(decode=True).decode()]' +
      ' for p in email.message_from_bytes(sys.stdin.buffer.read()).get_payload()])';
    const parts = execFileSync('python3', ['-c', program], {
      input: Buffer.concat([Buffer.from(`Content-Type: ${type}\r\n\r\n`), answer.body]),
      encoding: 'utf8',
    });
    expect(parts.trim()).toBe(
      "[['bytes 0-4/30', 'application/octet-stream', 'Writi'], " +
        "['bytes 10-14/30', 'application/octet-stream', 'ntent'], " +
        "['bytes 25-29/30', 'application/octet-stream', ' file']]",
    );
  });

  test('several ranges that touch are one; too many are the whole', async () => {
    const joined = await get('1234', '-H', 'Range: bytes=0-4,5-9,3-6');
    expect([joined.status, joined.header('Content-Range'), joined.text()]).toEqual([206, 'bytes 0-9/30', 'Writing co']);
    const many = Array.from({ length: 15 }, (_, index) => `${index * 2}-${index * 2}`);
    expect((await get('1234', '-H', `Range: bytes=${many.join(',')}`)).status).toBe(206);
    const big = randomBytes(1_000_000);
    await put('9', big);
    const parts = Array.from({ length: 17 }, (_, index) => `${index * 1000}-${index * 1000 + 9}`);
    expect((await get('9', '-H', `Range: bytes=${parts.join(',')}`)).status).toBe(200);
    const two = await get('9', '-H', 'Range: bytes=100-399999,500000-');
    expectSame(two.body.subarray(two.body.indexOf('\r\n\r\n') + 4).subarray(0, 399_900), big.subarray(100, 400_000));
  });

  test('If-Range: the rest only of the same file', async () => {
    const etag = (await head('1234')).header('ETag') ?? '';
    for (const [validator, status] of [
      [etag, 206],
      [DATE, 206],
      ['"other"', 200],
      [`W/${etag}`, 200],
      ['Sun, 06 Nov 1994 08:49:38 GMT', 200],
    ] as const) {
      expect((await get('1234', '-H', 'Range: bytes=5-', '-H', `If-Range: ${validator}`)).status).toBe(status);
    }
  });

  test('conditions: 304 and 412', async () => {
    const etag = (await head('1234')).header('ETag') ?? '';
    const cases: [string, number][] = [
      [`If-None-Match: ${etag}`, 304],
      [`If-None-Match: "a", W/${etag}`, 304],
      ['If-None-Match: *', 304],
      ['If-None-Match: "a"', 200],
      [`If-Modified-Since: ${DATE}`, 304],
      ['If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT', 200],
      ['If-Modified-Since: nonsense', 200],
      [`If-Match: ${etag}`, 200],
      ['If-Match: *', 200],
      ['If-Match: "a"', 412],
      [`If-Match: W/${etag}`, 412],
      ['If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT', 412],
      [`If-Unmodified-Since: ${DATE}`, 200],
    ];
    for (const [header, status] of cases) {
      const answer = await get('1234', '-H', header);
      expect([header, answer.status]).toEqual([header, status]);
      if (status === 304) {
        expect(answer.header('ETag')).toBe(etag);
        expect(answer.body).toHaveLength(0);
      }
    }
    expect((await get('1234?byte_range=0-5', '-H', 'If-Match: "a"')).status).toBe(412);
  });

  test('unknown query parameters do not matter', async () => {
    expect((await get('1234?x=1')).status).toBe(200);
  });

  test('curl resumes', async () => {
    const part = join(service.folder, 'part');
    await writeFile(part, BYTES.subarray(0, 10));
    await curl(['--no-include', '-C', '-', '-o', part, `${service.url}/1234`]);
    expectSame(await readFile(part), BYTES);
  });

  test('many slow clients do not stop the others, nor take their memory', async () => {
    const big = randomBytes(8 * 1024 * 1024);
    await put('77', big);
    const { port } = new URL(service.url);
    const memory = process.memoryUsage().arrayBuffers;
    const slow = await Promise.all(
      Array.from({ length: 200 }, async () => {
        const socket = connect(Number(port), '127.0.0.1');
        socket.write('GET /77 HTTP/1.1\r\nHost: x\r\n\r\n');
        // the first bytes come, the rest is not read
        await new Promise((resolve) => socket.once('readable', resolve));
        return socket;
      }),
    );
    const before = performance.now();
    expectSame((await get('77')).body, big);
    expect(performance.now() - before).toBeLessThan(5000);
    expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(100 * 1024 * 1024);
    slow.forEach((socket) => socket.destroy());
  });
});

describe('HEAD', () => {
  test('answers 204 with the headers that old carts read, letter for letter', async () => {
    await put('1234', Buffer.from('eighteen bytes....'), '-H', `Last-Modified: ${DATE}`);
    const answer = await head('1234');
    expect(answer.status).toBe(204);
    const names = answer.rawHeaders.map(([name]) => name);
    const values = Object.fromEntries(answer.rawHeaders);
    for (const name of [
      'X-Pacifica-Messsage',
      'X-Pacifica-Message',
      'X-Pacifica-File',
      'X-Content-Length',
      'Last-Modified',
      'X-Pacifica-Ctime',
      'X-Pacifica-Bytes-Per-Level',
      'X-Pacifica-File-Storage-Media',
      'Content-Type',
      'ETag',
      'Accept-Ranges',
    ]) {
      expect(names).toContain(name);
    }
    expect(values).toMatchObject({
      'X-Pacifica-Messsage': 'File was found',
      'X-Pacifica-Message': 'File was found',
      'X-Pacifica-File': join(service.root, '1234'),
      'X-Content-Length': '18',
      'Last-Modified': '784111777.0',
      'X-Pacifica-Bytes-Per-Level': '(18,)',
      'X-Pacifica-File-Storage-Media': 'disk',
      'Content-Type': 'application/json',
      'Accept-Ranges': 'bytes',
    });
    expect(Math.abs(Number(values['X-Pacifica-Ctime']) * 1000 - Date.now())).toBeLessThan(60_000);
    expect(names).not.toContain('Content-Length');
  });

  test('404 when there is no such file', async () => {
    expect((await head('9999999')).status).toBe(404);
  });

  test('a path that is not ASCII fits into the header', async () => {
    await service.close();
    service = await startArchive({ root: 'Äpfel' });
    await put('1', BYTES);
    expect((await head('1')).header('X-Pacifica-File')).toContain('/%C3%84pfel/1');
  });
});

describe('POST', () => {
  test.each([
    ['an empty body', ['-H', 'Content-Length: 0']],
    ['no length at all', []],
    ['a body nobody asked for', ['-d', 'x=1']],
    ['a JSON body', ['-H', 'Content-Type: application/json', '-d', '{}']],
  ])('stages with %s', async (_what, args) => {
    await put('12345', BYTES);
    const answer = await curl(['-X', 'POST', ...args, `${service.url}/12345`]);
    expect(answer.status).toBe(200);
    expect(answer.text()).toBe('{"message": "File was staged", "file": "/12345"}');
  });

  test('404 when there is no such file', async () => {
    expectError(await curl(['-X', 'POST', `${service.url}/12345`]), 404, '12345');
  });
});

describe('PATCH', () => {
  let path: string;

  beforeEach(async () => {
    path = join(service.incoming, 'mv.src');
    await writeFile(path, 'content to move', { mode: 0o640 });
  });

  async function patch(id: string, body: string, ...args: string[]): Promise<CurlAnswer> {
    return curl(['-X', 'PATCH', '--data-binary', '@-', ...args, `${service.url}/${id}`], Buffer.from(body));
  }

  test.each(['application/json', 'text/plain', ''])('moves a file in, sent as %j', async (type) => {
    const answer = await patch('1240', JSON.stringify({ path }), '-H', `Content-Type:${type}`);
    expect(answer.status).toBe(200);
    expect(answer.text()).toBe('{"message": "File Moved Successfully"}');
    expect((await get('1240')).text()).toBe('content to move');
    expect((await stat(join(service.root, '1240'))).mode & 0o7777).toBe(0o444);
    expect(await filesBelow(service.incoming)).toEqual([]);
  });

  test('overwrites by default', async () => {
    await put('1234', BYTES);
    expect((await patch('1234', JSON.stringify({ path }))).status).toBe(200);
    expect((await get('1234')).text()).toBe('content to move');
  });

  // whoever comes second must neither be told of a fault of ours nor make the first one's file writable
  test('of two that take the same file at once one gets it', async () => {
    const source = join(service.incoming, 'one');
    for (let round = 0; round < 20; round += 1) {
      await writeFile(source, BYTES, { mode: 0o600 });
      const ids = [`a${round}`, `b${round}`];
      const take = async (id: string): Promise<number> => {
        const body = JSON.stringify({ path: source });
        return (await fetch(`${service.url}/${id}`, { method: 'PATCH', body })).status;
      };
      expect((await Promise.all(ids.map(take))).sort()).toEqual([200, 404]);
      const kept = (await filesBelow(service.root)).filter((path) => ids.includes(path));
      expect(kept).toHaveLength(1);
      expect((await stat(join(service.root, kept[0] ?? ''))).mode & 0o777).toBe(0o444);
    }
  });

  test('a file of the archive itself may be moved, one of its own folder not', async () => {
    await put('1', BYTES);
    expect((await patch('2', JSON.stringify({ path: join(service.root, '1') }))).status).toBe(200);
    expectSame((await get('2')).body, BYTES);
    expect((await get('1')).status).toBe(404);
    await mkdir(join(service.root, '.pacifica', 'drafts', 'job'), { recursive: true });
    const draft = join(service.root, '.pacifica', 'drafts', 'job', '0');
    await writeFile(draft, 'x');
    expectError(await patch('3', JSON.stringify({ path: draft })), 403, 'may not');
  });

  test('what is missing is 404', async () => {
    expectError(await patch('1', JSON.stringify({ path: join(service.incoming, 'nope') })), 404, 'nope');
    expectError(await patch('1', JSON.stringify({ path: join(path, 'below-a-file') })), 404, 'below');
  });

  test('a folder or a pipe is 400', async () => {
    await mkdir(join(service.incoming, 'folder'));
    expectError(await patch('1', JSON.stringify({ path: join(service.incoming, 'folder') })), 400, 'regular');
    const pipe = join(service.incoming, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expectError(await patch('1', JSON.stringify({ path: pipe })), 400, 'regular');
  });

  test('what leaves the allowed folders is 403 and stays where it is', async () => {
    const outside = join(service.folder, 'outside');
    await writeFile(outside, 'secret', { mode: 0o600 });
    await symlink(outside, join(service.incoming, 'link'));
    await symlink(service.folder, join(service.incoming, 'folder-link'));
    await mkdir(join(service.folder, 'incoming-too'));
    await writeFile(join(service.folder, 'incoming-too', 'f'), 'x');
    for (const hostile of [
      outside,
      `${service.incoming}/../outside`,
      join(service.incoming, 'link'),
      join(service.incoming, 'folder-link', 'outside'),
      join(service.folder, 'incoming-too', 'f'),
      '/etc/passwd',
      '/no/such/file',
      service.incoming,
    ]) {
      expectError(await patch('1', JSON.stringify({ path: hostile })), 403, 'may not');
    }
    expect((await stat(outside)).mode & 0o777).toBe(0o600);
    expect((await get('1')).status).toBe(404);
  });

  test.each([
    ['{bad', 'JSON'],
    ['', 'JSON'],
    ['{}', 'path'],
    ['[]', 'path'],
    ['null', 'path'],
    ['{"path": 5}', 'path'],
    ['{"path": ""}', 'path'],
    ['{"path": "relative/file"}', 'not absolute'],
    ['{"path": "/a\\u0000b"}', 'not absolute'],
  ])('a body of %s is 400', async (body, text) => {
    expectError(await patch('1', body), 400, text);
  });

  test('a huge body is 413', async () => {
    expectError(await patch('1', JSON.stringify({ path: `/${'x'.repeat(100_000)}` })), 413, 'larger');
  });

  test('a source that can not be taken out of its folder is refused, and not copied', async () => {
    if (process.getuid?.() === 0) return;
    await chmod(service.incoming, 0o555);
    expectError(await patch('1', JSON.stringify({ path })), 403, 'can not be taken out');
    await chmod(service.incoming, 0o755);
  });
});

describe('DELETE', () => {
  test('is 200, then 404', async () => {
    await put('1235', BYTES);
    const answer = await curl(['-X', 'DELETE', `${service.url}/1235`]);
    expect([answer.status, answer.header('Content-Type'), answer.header('Content-Length')]).toEqual([
      200,
      'application/json',
      '0',
    ]);
    expect((await head('1235')).status).toBe(404);
    expectError(await curl(['-X', 'DELETE', `${service.url}/1235`]), 404, '1235');
    expect(await filesBelow(service.root)).toEqual([]);
  });
});

describe('ids', () => {
  test.each([
    'abc',
    'foo.txt',
    'a_b-c.tar.gz',
    '0',
    '99999999999999999999999999',
    '9223372036854775808',
    'x'.repeat(200),
    '-1',
  ])('%s is taken', async (id) => {
    expect((await put(id, BYTES)).status).toBe(201);
    expectSame((await get(id)).body, BYTES);
    expect(await filesBelow(service.root)).toEqual([id]);
  });

  test('escaped once is unescaped once', async () => {
    expect((await put('%66oo%2etxt', BYTES)).status).toBe(201);
    expect((await get('foo.txt')).status).toBe(200);
  });

  test.each([
    '..%2f..%2f..%2f..%2f..%2fetc%2fpasswd',
    '%2fetc%2fpasswd',
    '%2f%2fetc%2fpasswd',
    '..%252f..%252fetc%252fpasswd',
    '..%5c..%5cetc',
    '%2531',
    '%2e%2e',
    '.hidden',
    '.pacifica',
    '007',
    'x'.repeat(201),
    'a%00b',
    'a%20b',
    '%zz',
    '%ff',
    '+1',
    '..%2fescape.txt',
  ])('%s is 400 for every method, and nothing is made', async (id) => {
    await mkdir(service.root);
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'PATCH']) {
      const answer = await curl(['-X', method, '-d', '{"path": "/etc/passwd"}', `${service.url}/${id}`]);
      expectError(answer, 400, 'not valid');
    }
    expect((await head(id)).status).toBe(400);
    expect(await filesBelow(service.folder)).toEqual([]);
  });

  test.each(['../../etc/passwd', '1234/extra', '1/2', '/etc/passwd'])('the path /%s is 404', async (path) => {
    for (const method of ['GET', 'PUT', 'HEAD']) {
      expect(
        (await curl([...(method === 'HEAD' ? ['--head'] : ['-X', method]), `${service.url}/${path}`])).status,
      ).toBe(404);
    }
  });

  test('reads make no folder', async () => {
    await get('12345');
    await head('12345');
    expect(await stat(service.root).catch(() => 'none')).toBe('none');
  });

  test.each(['OPTIONS', 'PROPFIND', 'MKCOL', 'TRACE'])('%s is 405 with Allow', async (method) => {
    const answer = await curl(['-X', method, `${service.url}/1234`]);
    expectError(answer, 405, 'invalid for this resource');
    expect(answer.header('Allow')).toBe('GET, HEAD, PUT, POST, PATCH, DELETE');
  });
});

describe('missing files', () => {
  test.each(['GET', 'POST', 'DELETE'])('%s is 404, without a stack or a path of the server', async (method) => {
    const answer = await curl(['-X', method, '-H', 'Accept: text/html', `${service.url}/9999999`]);
    expectError(answer, 404, '9999999');
    expect(answer.text()).not.toContain(service.folder);
  });
});

describe('use_id2filename', () => {
  beforeEach(async () => {
    await service.close();
    service = await startArchive({ useId2filename: true });
  });

  test.each([
    ['0', 'file.0'],
    ['1', 'file.1'],
    ['255', 'file.ff'],
    ['1234', 'd2/4d2'],
    ['12345', '39/3039'],
    ['32767', 'ff/7fff'],
    ['32768', '00/8000'],
    ['32769', '01/8001'],
    ['65536', '00/00/10000'],
    ['9223372036854775808', '00/00/00/00/00/00/00/8000000000000000'],
  ])('%s is kept as %s', async (id, path) => {
    expect((await put(id, BYTES)).status).toBe(201);
    expect(await filesBelow(service.root)).toEqual([path]);
    expect((await head(id)).header('X-Pacifica-File')).toBe(join(service.root, path));
    expectSame((await get(id)).body, BYTES);
    expect((await curl(['-X', 'DELETE', `${service.url}/${id}`])).status).toBe(200);
  });

  test('ids that are no numbers are 400', async () => {
    expectError(await put('abc', BYTES), 400, 'not a number');
    expectError(await get('abc'), 400, 'not a number');
  });

  test('the id -1 of the originals is no number of ours', async () => {
    expectError(await put('-1', BYTES), 400, '');
  });
});

describe('requests share nothing', () => {
  test('parallel PUTs and GETs never mix files', async () => {
    const files = Array.from({ length: 6 }, (_, index) => Buffer.alloc(5_000_000 + index, 65 + index));
    const puts = await Promise.all(files.map((bytes, index) => put(`50${index}`, bytes)));
    expect(puts.map(({ status }) => status)).toEqual(files.map(() => 201));
    const gets = await Promise.all([...files, ...files].map((_, index) => get(`50${index % files.length}`)));
    gets.forEach(({ body }, index) => expectSame(body, files[index % files.length] ?? Buffer.alloc(0)));
  });
});

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ArchiveService, startArchive } from '../support/archive-service.js';
import { curl, type CurlAnswer } from '../support/curl.js';
import { filesBelow } from '../support/tree.js';

const BYTES = randomBytes(2_000_000);

function digest(algorithm: string, bytes: Uint8Array = BYTES): string {
  return createHash(algorithm).update(bytes).digest('base64');
}

/** By another program. */
function adler32(bytes: Uint8Array = BYTES): string {
  const program = 'import sys, zlib; print("%08x" % zlib.adler32(sys.stdin.buffer.read()))';
  return execFileSync('python3', ['-c', program], { input: bytes, encoding: 'utf8' }).trim();
}

function flip(base64: string): string {
  const bytes = Buffer.from(base64, 'base64');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes.toString('base64');
}

let service: ArchiveService;

afterEach(() => service.close());

function headers(list: readonly string[]): string[] {
  return list.flatMap((header) => ['-H', header]);
}

async function put(bytes: Uint8Array, ...list: string[]): Promise<CurlAnswer> {
  return curl(
    [
      '-T',
      '-',
      '-H',
      `Content-Length: ${bytes.length}`,
      '-H',
      'Transfer-Encoding:',
      ...headers(list),
      `${service.url}/1`,
    ],
    bytes,
  );
}

async function get(...list: string[]): Promise<CurlAnswer> {
  return curl([...headers(list), `${service.url}/1`]);
}

async function head(...list: string[]): Promise<CurlAnswer> {
  return curl(['--head', ...headers(list), `${service.url}/1`]);
}

describe.each(['sha256', 'none', undefined] as const)(
  'PUT checks what the client announces (digest setting: %s)',
  (checksum) => {
    beforeEach(async () => {
      service = await startArchive(checksum === undefined ? {} : { checksum });
    });

    const announcements = {
      'Content-Digest: sha-256': `Content-Digest: sha-256=:${digest('sha256')}:`,
      // what follows a value belongs to it (RFC 8941, 3.1.2), and means nothing to us
      'Content-Digest: sha-256 with a parameter': `Content-Digest: sha-256=:${digest('sha256')}:;a=1`,
      'Content-Digest: sha-512': `Content-Digest: sha-512=:${digest('sha512')}:`,
      'Repr-Digest: sha': `Repr-Digest: sha=:${digest('sha1')}:`,
      'Content-MD5': `Content-MD5: ${digest('md5')}`,
      'Digest: adler32': `Digest: adler32=${adler32()}`,
      'Digest: ADLER32': `Digest: ADLER32=${adler32().toUpperCase()}`,
      'Digest: md5': `Digest: MD5=${digest('md5')}`,
      'Digest: md5 in hex': `Digest: md5=${Buffer.from(digest('md5'), 'base64').toString('hex')}`,
      'Digest: sha': `Digest: SHA=${digest('sha1')}`,
      'Digest: sha-256': `Digest: SHA-256=${digest('sha256')}`,
      'several at once': `Digest: adler32=${adler32()}, md5=${digest('md5')}, unixsum=30637`,
    };

    test.each(Object.entries(announcements))('%s', async (_name, header) => {
      expect((await put(BYTES, header)).status).toBe(201);
      const damaged = Buffer.from(BYTES);
      damaged[1_999_999] = (damaged[1_999_999] ?? 0) ^ 1;
      const refused = await put(damaged, header);
      expect(refused.status).toBe(400);
      expect((refused.json() as { message: string }).message).toMatch(/was announced/);
      expect(Buffer.compare((await get()).body, BYTES)).toBe(0);
      expect(await filesBelow(service.root)).toEqual(['1']);
    });

    test('every one of them is checked', async () => {
      const good = `Content-Digest: sha-256=:${digest('sha256')}:`;
      for (const bad of [
        `Content-MD5: ${flip(digest('md5'))}`,
        `Digest: adler32=00000001`,
        `Repr-Digest: sha-512=:${flip(digest('sha512'))}:`,
      ]) {
        expect((await put(BYTES, good, bad)).status).toBe(400);
      }
      expect(await filesBelow(service.root)).toEqual([]);
    });

    test.each([
      'Content-MD5: abc',
      'Content-Digest: sha-256=:AAAA:',
      `Content-Digest: sha-256=${digest('sha256')}`,
      'Digest: adler32=xyz',
      'Digest: md5=',
    ])('%s can be no checksum: 400', async (header) => {
      expect((await put(BYTES, header)).status).toBe(400);
      expect(await filesBelow(service.root)).toEqual([]);
    });

    test.each([
      'Content-Digest: crc32c=:AAAAAA==:',
      'Digest: unixsum=1, crc32c=0a1b2c3d',
      'Content-Digest:',
      'Digest: ,,',
    ])('%s is not for us', async (header) => {
      expect((await put(BYTES, header)).status).toBe(201);
    });

    test('an empty file', async () => {
      const empty = Buffer.alloc(0);
      const answer = await curl([
        '-X',
        'PUT',
        '-H',
        'Content-Length: 0',
        ...headers([`Content-MD5: ${digest('md5', empty)}`, 'Digest: adler32=00000001']),
        `${service.url}/1`,
      ]);
      expect(answer.status).toBe(201);
    });
  },
);

describe('GET and HEAD tell checksums', () => {
  beforeEach(async () => {
    service = await startArchive({ checksum: 'sha256' });
    await put(BYTES);
  });

  const recorded = `sha-256=:${digest('sha256')}:`;

  test('Repr-Digest is the one on record, of the whole file also with a part', async () => {
    expect((await get()).header('Repr-Digest')).toBe(recorded);
    expect((await head()).header('Repr-Digest')).toBe(recorded);
    const part = await get('Range: bytes=0-9');
    expect([part.status, part.header('Repr-Digest')]).toEqual([206, recorded]);
    const old = await curl([`${service.url}/1?byte_range=0-10`]);
    expect(old.header('Repr-Digest')).toBeUndefined();
  });

  test.each([
    ['Want-Repr-Digest: sha=10, md5=3', 'Repr-Digest', `sha=:${digest('sha1')}:`],
    ['Want-Repr-Digest: sha=10, sha-256=1', 'Repr-Digest', recorded],
    ['Want-Repr-Digest: sha-256=0, sha-512=1', 'Repr-Digest', `sha-512=:${digest('sha512')}:`],
    ['Want-Repr-Digest: crc32c=10', 'Repr-Digest', recorded],
    ['Want-Content-Digest: sha-256=1', 'Content-Digest', recorded],
    ['Want-Digest: adler32', 'Digest', `adler32=${adler32()}`],
    ['Want-Digest: ADLER32;q=0.5, MD5;q=0.1', 'Digest', `adler32=${adler32()}`],
    ['Want-Digest: adler32;q=0.1, md5;q=0.5', 'Digest', `md5=${digest('md5')}`],
    ['Want-Digest: md5', 'Content-MD5', digest('md5')],
    ['Want-Digest: sha', 'Digest', `sha=${digest('sha1')}`],
    ['Want-Digest: adler32;q=0', 'Digest', undefined],
    ['Want-Digest: nonsense;;=,', 'Digest', undefined],
  ])('%s', async (want, header, value) => {
    for (const answer of [await get(want), await head(want)]) {
      expect(answer.status).toBeLessThan(300);
      expect(answer.header(header)).toBe(value);
    }
  });

  test('Content-Digest is not told of a part', async () => {
    const part = await get('Range: bytes=0-9', 'Want-Content-Digest: sha-256=1');
    expect(part.header('Content-Digest')).toBeUndefined();
  });

  test('it belongs to the version: a file that is replaced has another one, in every way', async () => {
    const other = Buffer.from('another');
    await put(other);
    expect((await head()).header('Repr-Digest')).toBe(`sha-256=:${digest('sha256', other)}:`);
    // past the archive, as an admin might
    execFileSync('sh', ['-c', `rm -f "${service.root}/1" && printf third > "${service.root}/1"`]);
    expect((await head()).header('Repr-Digest')).toBeUndefined();
    expect((await head('Want-Digest: md5')).header('Digest')).toBe(`md5=${digest('md5', Buffer.from('third'))}`);
  });

  test('a file that is moved within the archive keeps it; one from elsewhere has none', async () => {
    const move = async (id: string, path: string): Promise<void> => {
      const answer = await curl(['-X', 'PATCH', '-d', JSON.stringify({ path }), `${service.url}/${id}`]);
      expect(answer.status).toBe(200);
    };
    await move('2', join(service.root, '1'));
    expect((await curl(['--head', `${service.url}/2`])).header('Repr-Digest')).toBe(recorded);
    await mkdir(service.incoming);
    await writeFile(join(service.incoming, 'f'), 'x');
    await move('3', join(service.incoming, 'f'));
    expect((await curl(['--head', `${service.url}/3`])).header('Repr-Digest')).toBeUndefined();
  });
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTar, type TarMember } from '../../../src/lib/tar/reader.js';
import { collect, ownPiecesOf, piecesOf } from '../../support/streams.js';
import { removeFolder, temporaryFolder } from '../../support/temporary-folder.js';

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => removeFolder(folder));

type Read = Omit<TarMember, 'body'> & { content: string };

/** Reads a tar to its end, in chunks of `size` bytes. */
async function readAll(tar: Uint8Array, size = 64 * 1024): Promise<Read[]> {
  const members: Read[] = [];
  for await (const { body, ...member } of readTar(piecesOf(tar, size))) {
    members.push({ ...member, content: (await collect(body)).toString() });
  }
  return members;
}

/** Makes a folder of files and packs it. @returns the tar */
function pack(files: Record<string, string>, command: Writer): Buffer {
  const work = join(folder, `work-${Math.random().toString(36).slice(2)}`);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(work, path)), { recursive: true });
    writeFileSync(join(work, path), content);
    execFileSync('touch', ['-d', '2016-11-29 14:09:05.25 UTC', join(work, path)]);
  }
  const out = join(folder, 'out.tar');
  const [program, ...args] = command(work, out);
  execFileSync(program, args);
  return readFileSync(out);
}

const LONG = `data/${'a'.repeat(90)}/${'b'.repeat(90)}/${'ü'.repeat(60)}.txt`;
const FILES = {
  'data/plain.txt': 'plain',
  'data/with space and ü/日本語.txt': 'unicode',
  'data/empty': '',
  'data/block': 'x'.repeat(512),
  'data/large': 'y'.repeat(200_000),
  'metadata.txt': '[]',
};

const PYTHON = `
import sys, tarfile
fmt, work, out, *names = sys.argv[1:]
with tarfile.open(out, 'w|', format=getattr(tarfile, fmt)) as tar:
    for name in names: tar.add(f'{work}/{name}', name)
`;

const ROOTS = ['data', 'metadata.txt'];
type Writer = (work: string, out: string) => [string, ...string[]];
const GNU: Writer = (work, out) => ['tar', 'cf', out, '--format=gnu', '-C', work, ...ROOTS];
const PAX: Writer = (work, out) => ['tar', 'cf', out, '--format=posix', '-C', work, ...ROOTS];
const WRITERS: Record<string, Writer> = {
  'GNU tar, gnu': GNU,
  'GNU tar, posix': PAX,
  'Python, GNU': (work, out) => ['python3', '-c', PYTHON, 'GNU_FORMAT', work, out, ...ROOTS],
  'Python, pax': (work, out) => ['python3', '-c', PYTHON, 'PAX_FORMAT', work, out, ...ROOTS],
};

describe.each(Object.entries(WRITERS))('a tar by %s', (_name, command) => {
  it('is read as it was written, however it is cut into chunks', async () => {
    const files: Record<string, string> = { ...FILES, [LONG]: 'long' };
    const tar = pack(files, command);
    for (const size of [64 * 1024, 512, 777, 1024 * 1024]) {
      const members = await readAll(tar, size);
      const read = members.filter(({ type }) => type === 'file');
      expect(Object.fromEntries(read.map(({ path, content }) => [path, content]))).toEqual(files);
      expect(members.filter(({ type }) => type === 'directory').map(({ path }) => path)).toContain('data/');
      // pax has the quarter second, GNU not
      for (const { mtimeMs, content, size: length } of read) {
        expect(Math.floor(mtimeMs / 1000)).toBe(Date.UTC(2016, 10, 29, 14, 9, 5) / 1000);
        expect(length).toBe(Buffer.byteLength(content));
      }
    }
  });
});

it('reads ustar with its prefix, and the tar of before', async () => {
  const name = `data/${'d'.repeat(80)}/${'e'.repeat(80)}/f.txt`;
  for (const format of ['ustar', 'v7']) {
    const files = format === 'v7' ? { 'data/f.txt': 'x' } : { [name]: 'x' };
    const tar = pack(files, (work, out) => ['tar', 'cf', out, `--format=${format}`, '-C', work, 'data']);
    const members = await readAll(tar);
    expect(members.filter(({ type }) => type === 'file').map(({ path }) => path)).toEqual(Object.keys(files));
    expect(members[0]).toMatchObject({ path: 'data/', type: 'directory' });
  }
});

it('reads what bsdtar writes', async ({ skip }) => {
  try {
    execFileSync('bsdtar', ['--version']);
  } catch {
    skip('there is no bsdtar here');
  }
  const files = { ...FILES, [LONG]: 'long' };
  const tar = pack(files, (work, out) => ['bsdtar', 'cf', out, '-C', work, ...ROOTS]);
  const read = (await readAll(tar)).filter(({ type }) => type === 'file');
  expect(Object.fromEntries(read.map(({ path, content }) => [path, content]))).toEqual(files);
});

it.each(['gnu', 'posix'])('reads a member of 9 GiB in format %s', async (format) => {
  const size = 9 * 1024 ** 3;
  const big = join(folder, 'big');
  writeFileSync(big, '');
  truncateSync(big, size);
  const head = execFileSync('sh', ['-c', `tar cf - --format=${format} -C ${folder} big | head -c 1536`]);
  async function* whole(): AsyncGenerator<Uint8Array> {
    // a pax header takes three blocks, GNU's number fits into one
    yield head.subarray(0, head[156] === 0x78 ? 1536 : 512);
    const zeros = Buffer.alloc(1024 ** 2);
    for (let sent = 0; sent < size + zeros.length; sent += zeros.length) yield zeros;
    return Promise.resolve();
  }
  let length = 0;
  for await (const member of readTar(whole())) {
    expect(member).toMatchObject({ path: 'big', size });
    for await (const chunk of member.body) length += chunk.length;
  }
  expect(length).toBe(size);
});

it('passes chunks through without copying them', async () => {
  const tar = pack({ 'data/large': 'y'.repeat(200_000), 'metadata.txt': '[]' }, GNU);
  for await (const { type, body } of readTar(ownPiecesOf(tar, 65_536))) {
    if (type !== 'file') continue;
    for await (const chunk of body) expect(chunk.buffer).toBe(tar.buffer);
  }
});

it('skips what is not read of a body', async () => {
  const tar = pack(FILES, PAX);
  const paths: string[] = [];
  for await (const member of readTar(piecesOf(tar, 1000))) {
    paths.push(member.path);
    for await (const chunk of member.body) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  }
  expect(paths).toContain('data/large');
  expect(paths.at(-1)).toBe('metadata.txt');
});

it('tells links, pipes and devices from files', async () => {
  const work = join(folder, 'odd');
  mkdirSync(work);
  writeFileSync(join(work, 'a'), 'content');
  symlinkSync('a', join(work, 'b-symlink'));
  execFileSync('ln', [join(work, 'a'), join(work, 'c-hard')]);
  execFileSync('mkfifo', [join(work, 'd-pipe')]);
  const tar = execFileSync('tar', ['cf', '-', '--sort=name', '-C', work, '.'], { encoding: 'buffer' });
  const types = (await readAll(tar)).map(({ path, type }) => [path, type]);
  expect(types).toEqual([
    ['./', 'directory'],
    ['./a', 'file'],
    ['./b-symlink', 'symbolic link'],
    ['./c-hard', 'hard link'],
    ['./d-pipe', 'named pipe'],
  ]);
});

describe('what is no whole tar', () => {
  const small = (): Buffer => pack({ 'data/a': 'a'.repeat(700), [LONG]: 'b', 'metadata.txt': '[]' }, PAX);

  it('is noticed when it is cut anywhere before its end marker is whole', async () => {
    const tar = small();
    let end = tar.length;
    while (tar[end - 1] === 0) end -= 1;
    const whole = Math.ceil(end / 512) * 512 + 1024;
    for (let length = 0; length < whole; length += 64) {
      await expect(readAll(tar.subarray(0, length)), `cut at ${length}`).rejects.toMatchObject({ code: 'invalid' });
    }
    // the rest is padding
    for (let length = whole; length <= tar.length; length += 512) await readAll(tar.subarray(0, length));
  });

  it('is named for what it is', async () => {
    const gzip = execFileSync('gzip', ['-c'], { input: small(), encoding: 'buffer' });
    await expect(readAll(gzip)).rejects.toThrow('this is not a tar: it is compressed by gzip');
    await expect(readAll(gzip.subarray(0, 100))).rejects.toThrow('compressed by gzip');
    await expect(readAll(Buffer.from('no tar at all'))).rejects.toThrow('this is not a tar');
    await expect(readAll(Buffer.alloc(10_000, 'no tar at all'))).rejects.toThrow('this is not a tar');
    await expect(readAll(Buffer.alloc(0))).rejects.toThrow('it is empty');
  });

  it('is refused when there is something behind the end', async () => {
    const tar = small();
    await expect(readAll(Buffer.concat([tar, tar]))).rejects.toThrow('bytes after the end of the tar');
    await expect(readAll(Buffer.concat([tar, Buffer.from('x')]))).rejects.toThrow('bytes after the end');
    await readAll(Buffer.concat([tar, Buffer.alloc(100_000)]));
  });

  it('is refused when one block of zeros stands in the middle', async () => {
    const tar = pack({ 'data/a': 'a', 'metadata.txt': '[]' }, GNU);
    await expect(readAll(Buffer.concat([tar.subarray(0, 512), Buffer.alloc(512), tar.subarray(512)]))).rejects.toThrow(
      'a block of zeros between two members',
    );
  });

  it('never hangs, crashes, or gives another error when bytes of it are changed', async () => {
    const tar = small();
    let random = 1;
    const next = (limit: number): number => {
      random = (random * 48_271) % 2_147_483_647;
      return random % limit;
    };
    for (let round = 0; round < 500; round += 1) {
      const broken = Buffer.from(tar);
      for (let count = next(4) + 1; count > 0; count -= 1) broken[next(broken.length)] = next(256);
      try {
        await readAll(broken, 512 + next(5000));
      } catch (error) {
        expect(error).toMatchObject({ name: 'PacificaError', code: 'invalid' });
      }
    }
  });
});

it('lets through what its source throws', async () => {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* piecesOf(pack(FILES, GNU).subarray(0, 2000));
    throw new Error('the line is dead');
  }
  const read = async (): Promise<void> => {
    for await (const member of readTar(source())) await collect(member.body);
  };
  await expect(read()).rejects.toThrow('the line is dead');
});

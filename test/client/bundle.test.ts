import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bundle, type BundleFacts, prepareBundle } from '../../src/client/bundle.js';
import { tarName } from '../../src/client/bundle-walk.js';

const facts: BundleFacts = { project: '1234a', instrument: '54', submitter: '10', keyValues: [['Temp C', '27']] };

interface Entry {
  destinationTable: string;
  name: string;
  subdir: string;
  size: number;
  hashsum: string;
  mtime: string;
  mimetype: string;
}

let dir: string;
let skipped: string[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-bundle-'));
  skipped = [];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function prepare(...paths: string[]): Promise<Bundle> {
  return prepareBundle(paths, facts, { onSkipped: (path, what) => skipped.push(`${path}: ${what}`) });
}

/** Writes a bundle to a file. @returns its name */
async function save(bundle: Bundle): Promise<string> {
  const file = join(dir, 'bundle.tar');
  const handle = await open(file, 'w');
  let length = 0;
  for await (const chunk of bundle.stream()) {
    length += chunk.length;
    await handle.write(chunk);
  }
  await handle.close();
  expect(length).toBe(bundle.size);
  return file;
}

/** Unpacks with GNU tar. */
function unpack(tar: string): string {
  const out = mkdtempSync(join(dir, 'out-'));
  execFileSync('tar', ['xf', tar, '-C', out]);
  return out;
}

function write(path: string, content: string | Buffer): string {
  const file = join(dir, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
  return file;
}

function metadataOf(folder: string): Entry[] {
  return JSON.parse(readFileSync(join(folder, 'metadata.txt'), 'utf8')) as Entry[];
}

describe('tarName', () => {
  it.each([
    ['tree', 'tree'],
    ['tree/sub/', 'tree/sub'],
    ['./tree', 'tree'],
    ['a//b', 'a/b'],
    ['/srv/tree', 'srv/tree'],
    ['../tree', 'tree'],
    ['a/../../b', 'b'],
    ['.', ''],
    ['..', ''],
    ['/', ''],
  ])('%s -> %s', (path, name) => expect(tarName(path)).toBe(name));
});

describe('prepareBundle', () => {
  it('makes what GNU tar unpacks and sha1sum confirms, names of all kinds, metadata.txt last', async () => {
    const long = `${'long-'.repeat(40)}name`;
    const big = Buffer.alloc(3 * 1024 * 1024 + 7, 'pacifica');
    write('tree/a.txt', 'alpha\n');
    write('tree/empty', '');
    write('tree/sub/Größe 10 µm (copy).csv', 'x,y\n');
    write(`tree/sub/${long}/データ.bin`, big);
    utimesSync(join(dir, 'tree/a.txt'), 1_600_000_000.5, 1_500_000_000.75);

    const tar = await save(await prepare(join(dir, 'tree')));
    const names = execFileSync('tar', ['tf', tar, '--quoting-style=literal'], { encoding: 'utf8' }).trim().split('\n');
    const root = `data${dir}/tree`;
    expect(names).toEqual([
      `${root}/a.txt`,
      `${root}/empty`,
      `${root}/sub/Größe 10 µm (copy).csv`,
      `${root}/sub/${long}/データ.bin`,
      'metadata.txt',
    ]);

    const out = unpack(tar);
    const [submitter, project, instrument, keyValue, ...files] = metadataOf(out);
    expect(submitter).toEqual({ destinationTable: 'Transactions.submitter', value: 10 });
    expect(project).toEqual({ destinationTable: 'Transactions.project', value: '1234a' });
    expect(instrument).toEqual({ destinationTable: 'Transactions.instrument', value: 54 });
    expect(keyValue).toEqual({ destinationTable: 'TransactionKeyValue', key: 'Temp C', value: '27' });
    expect(files).toHaveLength(4);
    for (const { subdir, name, hashsum, size } of files) {
      const file = join(out, subdir, name);
      expect(execFileSync('sha1sum', ['-b', '--', file], { encoding: 'utf8' }).slice(0, 40)).toBe(hashsum);
      expect(readFileSync(file)).toHaveLength(size);
    }
    expect(files[0]).toMatchObject({
      destinationTable: 'Files',
      mimetype: 'text/plain',
      hashtype: 'sha1',
      mtime: '2017-07-14T02:40:00',
    });
    expect(execFileSync('stat', ['-c', '%Y', join(out, root, 'a.txt')], { encoding: 'utf8' }).trim()).toBe(
      '1500000000',
    );
  });

  it("is read by Python's tarfile as a stream, as original services read it", async () => {
    write('tree/größe', 'x'.repeat(1000));
    write('tree/b', 'b');
    const tar = await save(await prepare(join(dir, 'tree')));
    const program = [
      'import hashlib, sys, tarfile',
      'for member in (tar := tarfile.open(sys.argv[1], "r|")):',
      '  print(hashlib.sha1(tar.extractfile(member).read()).hexdigest(), member.name.rsplit("/", 1)[-1])',
    ].join('\n');
    const lines = execFileSync('python3', ['-c', program, tar], { encoding: 'utf8' }).trim().split('\n');
    const files = metadataOf(unpack(tar)).slice(4);
    expect(lines.slice(0, -1)).toEqual(files.map(({ hashsum, name }) => `${hashsum} ${name}`));
    expect(lines.map((line) => line.split(' ')[1])).toEqual(['b', 'größe', 'metadata.txt']);
  });

  it('takes files and folders together under the names that tar gives them', async () => {
    write('tree/sub/f', 'f');
    write('one.txt', '1');
    const was = process.cwd();
    process.chdir(dir);
    try {
      const tar = await save(await prepare('./tree', 'one.txt'));
      expect(execFileSync('tar', ['tf', tar], { encoding: 'utf8' })).toBe(
        'data/tree/sub/f\ndata/one.txt\nmetadata.txt\n',
      );
      expect(metadataOf(unpack(tar)).slice(4)).toMatchObject([
        { name: 'f', subdir: 'data/tree/sub/' },
        { name: 'one.txt', subdir: 'data/' },
      ]);
    } finally {
      process.chdir(was);
    }
  });

  it('leaves links and pipes out and says so; follows a link that is given itself', async () => {
    write('tree/a', 'a');
    symlinkSync('a', join(dir, 'tree/link'));
    symlinkSync('/', join(dir, 'tree/loop'));
    execFileSync('mkfifo', [join(dir, 'tree/pipe')]);
    symlinkSync('tree', join(dir, 'given'));
    const bundle = await prepare(join(dir, 'given'));
    expect(bundle.files).toBe(1);
    expect(skipped).toEqual([
      `${join(dir, 'given/link')}: a symbolic link`,
      `${join(dir, 'given/loop')}: a symbolic link`,
      `${join(dir, 'given/pipe')}: a pipe`,
    ]);
  });

  it.each([
    ['a missing path', ['missing'], 'not-found', /there is no file .*missing/],
    ['an empty folder', ['void'], 'invalid', /there is no file in/],
    ['one name twice', ['tree', 'other/../tree'], 'invalid', /is there twice/],
    ['a pipe', ['pipe'], 'invalid', /is a pipe/],
    ['a name that is not UTF-8', ['latin'], 'invalid', /"gr\u00f6\u00dfe" in .*latin is not UTF-8/],
  ])('refuses %s before anything is sent', async (_, paths, code, message) => {
    write('tree/a', 'a');
    mkdirSync(join(dir, 'void'));
    mkdirSync(join(dir, 'other'));
    mkdirSync(join(dir, 'latin'));
    execFileSync('mkfifo', [join(dir, 'pipe')]);
    writeFileSync(Buffer.concat([Buffer.from(`${dir}/latin/`), Buffer.from('größe', 'latin1')]), 'x');
    const was = process.cwd();
    process.chdir(dir);
    try {
      await expect(prepare(...paths)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message) as string,
      });
    } finally {
      process.chdir(was);
    }
  });

  it.skipIf(process.getuid?.() === 0)('refuses a file that it may not read before anything is sent', async () => {
    chmodSync(write('tree/secret', 's'), 0);
    await expect(prepare(join(dir, 'tree'))).rejects.toMatchObject({ code: 'forbidden' });
  });

  describe('fails when a file changes', () => {
    const MIB = 1024 * 1024;
    const drain = async (bundle: Bundle, meanwhile: () => void): Promise<void> => {
      let chunks = 0;
      for await (const chunk of bundle.stream()) {
        expect(chunk.length).toBeGreaterThan(0);
        chunks += 1;
        if (chunks === 1) meanwhile();
      }
    };

    it.each<[string, (file: string) => void]>([
      ['grows', (file) => appendFileSync(file, 'more')],
      ['shrinks', (file) => truncateSync(file, 2 * MIB)],
      ['is written in place', (file) => utimesSync(file, 1, 1)],
      ['goes away', (file) => rmSync(file)],
    ])('while it is read: it %s', async (_, change) => {
      const file = write('big', Buffer.alloc(4 * MIB));
      const bundle = await prepare(file);
      await expect(drain(bundle, () => change(file))).rejects.toMatchObject({
        code: 'precondition',
        message: expect.stringMatching(/big (changed|went away) while it was sent/) as string,
      });
    });

    it('before its turn comes', async () => {
      const file = write('z', 'z');
      const bundle = await prepare(write('a', Buffer.alloc(2 * MIB)), file);
      await expect(drain(bundle, () => writeFileSync(file, 'other'))).rejects.toMatchObject({ code: 'precondition' });
    });

    it('when it was empty and is filled', async () => {
      const file = write('empty', '');
      const bundle = await prepare(file);
      writeFileSync(file, 'x');
      await expect(drain(bundle, () => undefined)).rejects.toMatchObject({ code: 'precondition' });
    });
  });

  it('takes 20,000 files with a length that is right', async () => {
    for (let folder = 0; folder < 20; folder += 1) {
      mkdirSync(join(dir, 'many', String(folder)), { recursive: true });
      for (let file = 0; file < 1000; file += 1)
        writeFileSync(join(dir, 'many', String(folder), `f${file}`), `${file}`);
    }
    const tar = await save(await prepare(join(dir, 'many')));
    const names = execFileSync('tar', ['tf', tar], { encoding: 'utf8', maxBuffer: 1e8 }).trim().split('\n');
    expect(names).toHaveLength(20_001);
    const text = execFileSync('tar', ['xOf', tar, 'metadata.txt'], { encoding: 'utf8', maxBuffer: 1e8 });
    expect(JSON.parse(text)).toHaveLength(20_004);
  });
});

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
import { collect } from '../support/streams.js';

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

it('a file of a broken clock is sent, with a time that metadata can tell', async () => {
  // file systems in memory, Btrfs and ZFS keep such times, ext4 and XFS the nearest that they can
  const far = write('far', 'far');
  utimesSync(far, 9e12, 9e12);
  const early = write('early', 'early');
  utimesSync(early, -1e12, -1e12);
  const [first, second] = metadataOf(unpack(await save(await prepare(far, early)))).filter(
    ({ destinationTable }) => destinationTable === 'Files',
  );
  for (const file of [first, second]) expect(file?.mtime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
});

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

  it('goes through links when it is asked to, and not for ever', async () => {
    write('tree/a', 'a');
    write('elsewhere/deep/b', 'b');
    symlinkSync('../elsewhere', join(dir, 'tree/linked'));
    symlinkSync('a', join(dir, 'tree/same'));
    symlinkSync('../tree', join(dir, 'elsewhere/back'));
    symlinkSync('nowhere', join(dir, 'tree/broken'));
    const bundle = await prepareBundle([join(dir, 'tree')], facts, {
      followLinks: true,
      onSkipped: (path, what) => skipped.push(`${path}: ${what}`),
    });
    const names = execFileSync('tar', ['tf', await save(bundle)], { encoding: 'utf8' })
      .trim()
      .split('\n');
    const below = names.map((name) => name.replace(/^.*\/tree\//, ''));
    expect(below).toEqual(['a', 'linked/deep/b', 'same', 'metadata.txt']);
    expect(skipped).toEqual([
      `${join(dir, 'tree/broken')}: a symbolic link to nothing`,
      `${join(dir, 'tree/linked/back')}: a symbolic link to a folder that it is in`,
    ]);
  });

  it('leaves out what it is told to, folders with all that is in them', async () => {
    for (const path of ['tree/a', 'tree/a.tmp', 'tree/.git/x', 'tree/sub/.git/y', 'tree/sub/b']) write(path, path);
    const options = { onSkipped: () => undefined, exclude: (path: string) => /\.tmp$|\.git$/.test(path) };
    const bundle = await prepareBundle([join(dir, 'tree')], facts, options);
    expect(bundle.files).toBe(2);
    // also what was named itself, as a shell does that makes names of a pattern
    const named = ['tree/a', 'tree/a.tmp', 'tree/.git', 'tree/sub'].map((path) => join(dir, path));
    expect((await prepareBundle(named, facts, options)).files).toBe(2);
    await expect(prepareBundle([join(dir, 'tree')], facts, { ...options, exclude: () => true })).rejects.toMatchObject({
      code: 'invalid',
    });
  });

  it('has one key for the same files and facts, another one for any other', async () => {
    const file = write('a', 'a');
    const other = write('b', 'b');
    utimesSync(file, 1000, 1000);
    const key = async (paths: string[], more: Partial<BundleFacts> = {}): Promise<string> =>
      (await prepareBundle(paths, { ...facts, ...more }, { onSkipped: () => undefined })).key;
    const first = await key([file, other]);
    expect(first).toMatch(/^pacifica-[0-9a-f]{64}$/);
    expect(await key([other, file])).toBe(first);
    const others = new Set([await key([file]), await key([file, other], { project: 'x' })]);
    utimesSync(file, 1000, 1001);
    others.add(await key([file, other]));
    writeFileSync(file, 'aa');
    utimesSync(file, 1000, 1000);
    others.add(await key([file, other]));
    expect(others.size).toBe(4);
    expect(others.has(first)).toBe(false);
  });

  it('takes ready metadata: as the beginning, or as all of it, and then first', async () => {
    const file = write('tree/a', 'a');
    const tree = join(dir, 'tree');
    const member = tarName(tree);
    const own = [{ destinationTable: 'Transactions.project', value: 'mine' }];
    const onSkipped = (): void => undefined;
    const begun = await prepareBundle([tree], { name: 'm', entries: own }, { onSkipped });
    const made = metadataOf(unpack(await save(begun)));
    expect(made).toMatchObject([
      ...own,
      { name: 'a', subdir: `data/${member}/`, hashsum: expect.stringMatching(/^86f7e4/) as string },
    ]);
    const text = (await collect(begun.metadata())).toString();
    expect(JSON.parse(text)).toEqual(made);

    const entries = [...own, { ...made[1], subdir: member, extra: 1 }];
    const whole = await prepareBundle([tree], { name: 'm', entries }, { onSkipped });
    const tar = await save(whole);
    expect(metadataOf(unpack(tar))).toEqual(entries);
    expect(execFileSync('tar', ['tf', tar], { encoding: 'utf8' })).toBe(`metadata.txt\ndata/${member}/a\n`);

    write('tree/b', 'b');
    const refused = prepareBundle([tree], { name: 'm.json', entries }, { onSkipped });
    await expect(refused).rejects.toMatchObject({ code: 'invalid', message: `m.json does not name ${member}/b` });
    rmSync(file);
    rmSync(join(dir, 'tree/b'));
    write('tree/a', 'a');
    const more = [...entries, { ...entries[1], name: 'c' }];
    const missing = prepareBundle([tree], { name: 'm.json', entries: more }, { onSkipped });
    await expect(missing).rejects.toMatchObject({ message: `m.json names ${member}/c, which is not sent` });
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

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { CartManifest, type ManifestEntry } from '../../src/client/cart-manifest.js';
import { type TarVisitor, visitTar } from '../../src/client/cart-tar.js';

/** A member as Python's tarfile writes it; a link leads to `link`. */
interface Member {
  readonly name: string;
  readonly text?: string;
  readonly kind?: 'file' | 'folder' | 'symlink' | 'hardlink' | 'fifo';
  readonly link?: string;
}

const MAKE = `
import io, json, sys, tarfile
kinds = dict(file=tarfile.REGTYPE, folder=tarfile.DIRTYPE, symlink=tarfile.SYMTYPE, hardlink=tarfile.LNKTYPE, fifo=tarfile.FIFOTYPE)
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|') as tar:
    for member in json.loads(sys.argv[1]):
        info = tarfile.TarInfo(member['name'])
        info.type = kinds[member.get('kind', 'file')]
        info.linkname = member.get('link', '')
        info.mtime = 1500000000
        data = member.get('text', '').encode()
        info.size = len(data) if info.isreg() else 0
        tar.addfile(info, io.BytesIO(data))
`;

function tar(...members: Member[]): AsyncIterable<Uint8Array> {
  const bytes = execFileSync('python3', ['-c', MAKE, JSON.stringify(members)]);
  return pieces(bytes, 1000);
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

/** The hash and the path of what a cart should have. */
async function* manifest(...files: [path: string, text: string][]): AsyncGenerator<ManifestEntry> {
  for (const [path, text] of files) {
    yield await Promise.resolve({ path, type: 'sha1', sum: createHash('sha1').update(text).digest('hex') });
  }
}

/** Notes what it is shown. */
class Notes implements TarVisitor {
  readonly told: string[] = [];

  async folder(path: string): Promise<void> {
    this.told.push(`folder ${path}`);
    return Promise.resolve();
  }

  file(path: string): ReturnType<TarVisitor['file']> {
    const texts: Uint8Array[] = [];
    return Promise.resolve({
      write: (piece) => Promise.resolve(void texts.push(Buffer.from(piece))),
      done: () => Promise.resolve(void this.told.push(`${path}: ${Buffer.concat(texts).toString()}`)),
      discard: () => Promise.resolve(void this.told.push(`${path} discarded`)),
    });
  }
}

describe('a tar of a cart', () => {
  it('is gone through and compared, file by file', async () => {
    const notes = new Notes();
    const members = [
      { name: 'top', kind: 'folder' as const },
      { name: 'top/a', kind: 'folder' as const },
      { name: 'top/a/one', text: 'one' },
      { name: 'top/two', text: '2'.repeat(3000) },
    ];
    await visitTar(tar(...members), 'top', manifest(['a/one', 'one'], ['two', '2'.repeat(3000)]), notes);
    expect(notes.told).toEqual(['folder a', 'a/one: one', `two: ${'2'.repeat(3000)}`]);
  });

  it.each<[string, Member[], [string, string][], RegExp]>([
    ['other bytes', [{ name: 'top/a', text: 'b' }], [['a', 'a']], /"a" came with sha1 .*, it should be 86f7e437/],
    [
      'a file too few',
      [{ name: 'top/a', text: 'a' }],
      [
        ['a', 'a'],
        ['b', 'b'],
      ],
      /ends before "b"/,
    ],
    [
      'a file too many',
      [
        { name: 'top/a', text: 'a' },
        { name: 'top/b', text: 'b' },
      ],
      [['a', 'a']],
      /has not: "b"/,
    ],
    [
      'another order',
      [
        { name: 'top/b', text: 'b' },
        { name: 'top/a', text: 'a' },
      ],
      [
        ['a', 'a'],
        ['b', 'b'],
      ],
      /"b" in the place of "a"/,
    ],
  ])('with %s is refused', async (_, members, files, message) => {
    const notes = new Notes();
    await expect(visitTar(tar(...members), 'top', manifest(...files), notes)).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringMatching(message) as string,
    });
    expect(notes.told.filter((line) => line === 'a: b')).toEqual([]);
  });

  it('takes back the file that was wrong', async () => {
    const notes = new Notes();
    await expect(visitTar(tar({ name: 'top/a', text: 'b' }), 'top', manifest(['a', 'a']), notes)).rejects.toThrow();
    expect(notes.told).toEqual(['a discarded']);
  });

  it.each<[Member, RegExp]>([
    [{ name: 'other/a', text: 'x' }, /outside of its folder top/],
    [{ name: 'topmost/a', text: 'x' }, /outside of its folder top/],
    [{ name: '/etc/x', text: 'x' }, /outside of its folder top/],
    [{ name: 'top/../../x', text: 'x' }, /not safe/],
    [{ name: 'top/a/../x', text: 'x' }, /not safe/],
    [{ name: 'top//x', text: 'x' }, /not safe/],
    [{ name: 'top', text: 'x' }, /has a file "top"/],
    [{ name: 'top/link', kind: 'symlink', link: '/etc' }, /has a symbolic link "top\/link"/],
    [{ name: 'top/link', kind: 'hardlink', link: 'top/a' }, /"top\/link"/],
    [{ name: 'top/pipe', kind: 'fifo' }, /"top\/pipe"/],
  ])('with %j is refused before anything of it is written', async (member, message) => {
    const notes = new Notes();
    await expect(visitTar(tar(member), 'top', undefined, notes)).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringMatching(message) as string,
    });
    expect(notes.told).toEqual([]);
  });

  it('that is none is refused', async () => {
    await expect(visitTar(pieces(Buffer.alloc(2048, 'x'), 700), 'top', undefined)).rejects.toMatchObject({
      code: 'integrity',
    });
  });
});

describe('a manifest', () => {
  const read = async (text: string): Promise<ManifestEntry[]> => {
    const kept = await CartManifest.read(pieces(Buffer.from(text), 7));
    const entries: ManifestEntry[] = [];
    try {
      for await (const entry of kept.entries()) entries.push(entry);
    } finally {
      await kept.close();
    }
    return entries;
  };

  it('has a line a file, as coreutils write and escape it; the length of a hash tells its type', async () => {
    const md5 = 'd41d8cd98f00b204e9800998ecf8427e';
    const lines = [`${md5}  plain`, `${md5} *binary`, `\\${md5}  a\\\\b\\nc\\rd`, `${'0'.repeat(64)}  Größe\\n`];
    expect(await read(lines.join('\n'))).toEqual([
      { path: 'plain', type: 'md5', sum: md5 },
      { path: 'binary', type: 'md5', sum: md5 },
      { path: 'a\\b\nc\rd', type: 'md5', sum: md5 },
      { path: 'Größe\\n', type: 'sha256', sum: '0'.repeat(64) },
    ]);
    expect(await read('')).toEqual([]);
  });

  it.each(['no manifest\n', `${'0'.repeat(41)}  x\n`, `${'0'.repeat(40)}  \n`])(
    'with the line %j is refused',
    async (text) => {
      await expect(read(text)).rejects.toMatchObject({ code: 'bad-gateway' });
    },
  );
});

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLOCK, TAR_END, type TarEntry, tarEndLength, tarHeader, tarPadding } from '../../../src/lib/tar/header.js';

/** What a Python program sees of a tar, without reading the data of sparse ones. */
const LIST = `
import json, sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    print(json.dumps([[m.name, m.size, int(m.mtime), 'directory' if m.isdir() else 'file', m.mode, m.uid, m.uname] for m in tar]))
`;

const entries: TarEntry[] = [
  { path: 'top', size: 0, mtime: 1, type: 'directory' },
  { path: 'top/plain.txt', size: 5, mtime: 1_700_000_000, type: 'file' },
  { path: 'top/empty', size: 0, mtime: 0, type: 'file', mode: 0o444 },
  { path: `top/${'e'.repeat(96)}`, size: 1, mtime: 2, type: 'file' },
  { path: `top/${'f'.repeat(97)}`, size: 512, mtime: 2, type: 'file' },
  { path: `top/${'g'.repeat(95)}/after-the-cut`, size: 513, mtime: 3, type: 'file' },
  { path: `${'d'.repeat(250)}/${'d'.repeat(250)}/${'x'.repeat(255)}`, size: 3, mtime: 4, type: 'file' },
  { path: 'h'.repeat(99), size: 0, mtime: 4, type: 'directory' },
  { path: 'h'.repeat(100), size: 0, mtime: 4, type: 'directory' },
  { path: 'top/Grüße 日本 😀.txt', size: 7, mtime: 5, type: 'file' },
  { path: 'top/new\nline = "quoted" \\ 12 path=x', size: 7, mtime: 5, type: 'file' },
  { path: 'top/before 1970', size: 1, mtime: -86_400, type: 'file' },
  { path: 'top/far', size: 1, mtime: 0o77777777777 + 1, type: 'file' },
];

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pacifica-tar-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(list: TarEntry[]): string {
  const parts = list.flatMap((entry) => [tarHeader(entry), Buffer.alloc(entry.size + tarPadding(entry.size), 'x')]);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const file = join(folder, 'test.tar');
  writeFileSync(file, Buffer.concat([...parts, Buffer.alloc(tarEndLength(length))]));
  return file;
}

describe('tarHeader', () => {
  it('is read by Python as it was meant', () => {
    const file = write(entries);
    const seen = JSON.parse(execFileSync('python3', ['-c', LIST, file], { encoding: 'utf8' })) as unknown;
    expect(seen).toEqual(
      entries.map(({ path, size, mtime, type, mode }) => [
        path,
        size,
        mtime,
        type,
        mode ?? (type === 'file' ? 0o644 : 0o755),
        0,
        '',
      ]),
    );
  });

  it('is read by GNU tar as it was meant', () => {
    const file = write(entries);
    const { stdout, stderr, status } = spawnSync(
      'tar',
      ['-tvf', file, '--utc', '--numeric-owner', '--quoting-style=c', '--full-time'],
      { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(entries.length);
    entries.forEach(({ path, size, mtime, type }, index) => {
      const line = lines[index] ?? '';
      expect(line).toContain(` ${size} ${new Date(mtime * 1000).toISOString().slice(0, 19).replace('T', ' ')} `);
      expect(line.startsWith(type === 'directory' ? 'd' : '-')).toBe(true);
      expect(line).toContain(path.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n'));
    });
  });

  it('is read by bsdtar as it was meant', ({ skip }) => {
    const file = write(entries);
    if (spawnSync('bsdtar', ['--version']).error !== undefined) skip('bsdtar is not installed');
    const { stdout, status } = spawnSync('bsdtar', ['-tf', file], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    expect(status).toBe(0);
    const names = stdout.trimEnd().split('\n');
    expect(names[5]).toBe(entries[5]?.path);
    expect(names[6]).toBe(entries[6]?.path);
    expect(names[9]).toBe(entries[9]?.path);
    expect(names).toHaveLength(entries.length);
  });

  it('tells of files of 8 GiB and more', () => {
    const size = 8 * 1024 ** 3;
    for (const entry of [size - 1, size, size * 1000]) {
      const header = tarHeader({ path: 'big', size: entry, mtime: 9, type: 'file' });
      expect(header.length).toBe(entry < size ? BLOCK : 3 * BLOCK);
      const file = join(folder, 'big.tar');
      writeFileSync(file, Buffer.concat([header, Buffer.alloc(BLOCK)]));
      // the data is not there: look at the first member only
      const first = execFileSync(
        'python3',
        ['-c', 'import sys, tarfile; print(tarfile.TarFile.open(sys.argv[1]).firstmember.size)', file],
        { encoding: 'utf8' },
      );
      expect(Number(first)).toBe(entry);
    }
  });

  it('gives the same bytes for the same entry', () => {
    for (const entry of entries) expect(tarHeader({ ...entry })).toEqual(tarHeader(entry));
    expect(tarHeader({ path: 'a', size: 0, mtime: 0, type: 'directory' })).toEqual(
      tarHeader({ path: 'a/', size: 0, mtime: 0, type: 'directory' }),
    );
  });
});

describe('the end of a tar', () => {
  it('fills up to a record of 10,240 bytes with two blocks of zeros at least', () => {
    expect(TAR_END).toEqual(Buffer.alloc(1024));
    expect(tarEndLength(0)).toBe(10_240);
    expect(tarEndLength(10_240 - 1024)).toBe(1024);
    expect(tarEndLength(10_240 - 512)).toBe(10_240 + 512);
    expect(tarEndLength(10_240)).toBe(10_240);
  });

  it('pads data to whole blocks', () => {
    expect([0, 1, 511, 512, 513].map(tarPadding)).toEqual([0, 511, 1, 0, 511]);
  });
});

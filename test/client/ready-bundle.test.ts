import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readyBundle } from '../../src/client/ready-bundle.js';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-ready-'));
  mkdirSync(join(dir, 'data', 'x'.repeat(120)), { recursive: true });
  writeFileSync(join(dir, 'data', 'x'.repeat(120), 'größe'), randomBytes(3000));
  writeFileSync(join(dir, 'metadata.txt'), '[]');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function tar(...args: string[]): string {
  execFileSync('tar', ['cf', join(dir, 'b.tar'), '-C', dir, ...args]);
  return join(dir, 'b.tar');
}

describe('readyBundle', () => {
  it.each([
    ['last', ['data', 'metadata.txt']],
    ['first', ['metadata.txt', 'data']],
    ['as ./metadata.txt', ['./data', './metadata.txt']],
    ['behind pax headers', ['--format=pax', 'data', 'metadata.txt']],
  ])('sends a tar as it is, metadata.txt %s', async (_, args) => {
    const file = tar(...args);
    const bundle = await readyBundle(file);
    const chunks: Uint8Array[] = [];
    for await (const chunk of bundle.stream()) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(readFileSync(file));
    expect(bundle.size).toBe(readFileSync(file).length);
  });

  it('steps over bodies without reading them, however large', async () => {
    execFileSync('truncate', ['-s', '20G', join(dir, 'data', 'huge')]);
    // the tar is made of holes itself, so it takes no room
    const file = join(dir, 'b.tar');
    const header = execFileSync('sh', ['-c', `tar cf - -C "${dir}" data/huge | head -c 512`]);
    writeFileSync(file, header);
    execFileSync('truncate', ['-s', String(512 + 20 * 1024 ** 3), file]);
    appendFileSync(file, execFileSync('tar', ['cf', '-', '-C', dir, 'metadata.txt']));
    expect((await readyBundle(file)).size).toBeGreaterThan(20 * 1024 ** 3);
  });

  it.each([
    ['a tar without metadata.txt', () => tar('data'), /has no metadata.txt/],
    [
      'metadata.txt in a folder',
      () => tar('--transform=s,^metadata,data/metadata,', 'metadata.txt'),
      /has no metadata.txt/,
    ],
    ['a compressed tar', () => tar('-z', 'data', 'metadata.txt'), /is no tar/],
    ['a text', () => join(dir, 'metadata.txt'), /has no metadata.txt/],
  ])('refuses %s', async (_, make, message) => {
    await expect(readyBundle(make())).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringMatching(message) as string,
    });
  });

  it('refuses what is not there', async () => {
    await expect(readyBundle(join(dir, 'none.tar'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

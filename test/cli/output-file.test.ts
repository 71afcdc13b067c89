import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OutputFile } from '../../src/cli/output-file.js';

const MIB = 1024 * 1024;
let dir: string;
let target: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-output-'));
  target = join(dir, 'out');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const part = { key: 'cart x "one"', size: 10 * MIB };

async function suspended(bytes: number, key = part.key): Promise<boolean> {
  const file = await OutputFile.open(target, undefined);
  await file.write(Buffer.alloc(bytes, 'a'));
  return file.suspend(key);
}

describe('OutputFile', () => {
  it('shows nothing until it is committed, and then all of it with its time', async () => {
    writeFileSync(target, 'old');
    const file = await OutputFile.open(target, undefined);
    await file.write(Buffer.from('new'));
    expect(readFileSync(target, 'utf8')).toBe('old');
    await file.commit(1_500_000_000_250);
    expect(readFileSync(target, 'utf8')).toBe('new');
    expect(statSync(target).mtimeMs).toBe(1_500_000_000_250);
    expect(readdirSync(dir)).toEqual(['out']);
  });

  it('leaves nothing when it is discarded', async () => {
    const file = await OutputFile.open(target, undefined);
    await file.write(Buffer.from('new'));
    await file.discard();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('goes on with what was kept under the same key', async () => {
    expect(await suspended(2 * MIB)).toBe(true);
    const file = await OutputFile.open(target, part);
    expect(file.size).toBe(2 * MIB);
    let kept = 0;
    for await (const piece of file.kept()) kept += piece.length;
    expect(kept).toBe(2 * MIB);
    await file.write(Buffer.from('end'));
    expect(file.size).toBe(2 * MIB + 3);
    await file.commit();
    expect(readFileSync(target).toString()).toBe(`${'a'.repeat(2 * MIB)}end`);
  });

  it('lets one of two that go on have the part', async () => {
    await suspended(2 * MIB);
    const [one, two] = await Promise.all([OutputFile.open(target, part), OutputFile.open(target, part)]);
    expect([one.size, two.size].sort((a, b) => a - b)).toEqual([0, 2 * MIB]);
    await Promise.all([one.discard(), two.discard()]);
  });

  it('does not go on with another key, with a part that is too long, or with what was not worth keeping', async () => {
    await suspended(2 * MIB, 'other');
    const other = await OutputFile.open(target, part);
    expect(other.size).toBe(0);
    await other.discard();

    await suspended(2 * MIB);
    const long = await OutputFile.open(target, { ...part, size: MIB });
    expect(long.size).toBe(0);
    await long.write(Buffer.from('x'));
    await long.commit();
    expect(readFileSync(target, 'utf8')).toBe('x');

    expect(await suspended(MIB - 1)).toBe(false);
    expect(readdirSync(dir).filter((name) => !/^out$|\.part$/.test(name))).toEqual([]);
  });

  it('takes names that leave no room for an ending', async () => {
    target = join(dir, 'ü'.repeat(127));
    const file = await OutputFile.open(target, undefined);
    await file.write(Buffer.alloc(2 * MIB));
    expect(await file.suspend(part.key)).toBe(true);
    const again = await OutputFile.open(target, part);
    await again.commit();
    expect(readdirSync(dir)).toEqual(['ü'.repeat(127)]);
  });

  it.skipIf(process.getuid?.() === 0)('says that a folder may not be written', async () => {
    chmodSync(dir, 0o500);
    await expect(OutputFile.open(target, undefined)).rejects.toMatchObject({ code: 'forbidden' });
    chmodSync(dir, 0o700);
  });
});

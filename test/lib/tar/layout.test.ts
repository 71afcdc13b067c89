import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileReader } from '../../../src/lib/file-reader.js';
import { type PromptReader, type RandomReader, readChunks } from '../../../src/lib/random-reader.js';
import type { TarEntry } from '../../../src/lib/tar/header.js';
import { TarLayout, type TarSource } from '../../../src/lib/tar/layout.js';

let folder: string;
let opened: string[] = [];
let open = 0;
/** files whose opening was waited for */
let waited = 0;
let mostOpen = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pacifica-layout-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Counted implements PromptReader {
  readonly size: number;
  readonly #reader: PromptReader;
  #open = true;

  constructor(reader: PromptReader) {
    this.#reader = reader;
    this.size = reader.size;
    open += 1;
    mostOpen = Math.max(mostOpen, open);
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#reader.read(buffer, position);
  }

  readAtOnce(buffer: Uint8Array, position: number): number | undefined {
    return this.#reader.readAtOnce(buffer, position);
  }

  async close(): Promise<void> {
    this.#count();
    await this.#reader.close();
  }

  closeAtOnce(): boolean {
    const closed = this.#reader.closeAtOnce();
    if (closed) this.#count();
    return closed;
  }

  #count(): void {
    if (this.#open) open -= 1;
    this.#open = false;
  }
}

/** Files of the given sizes below `folder`, in batches of 7. @param atOnce whether they are opened at once */
function sourceOf(name: string, sizes: number[], atOnce: boolean): TarSource {
  const root = join(folder, name);
  const entries: TarEntry[] = [{ path: name, size: 0, mtime: 1_600_000_000, type: 'directory' }];
  sizes.forEach((size, index) => {
    const path = `${name}/${index % 3 === 0 ? 'x'.repeat(120) : 'Größe'}-${index}.bin`;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), randomBytes(size));
    entries.push({ path, size, mtime: 1_700_000_000 + index, type: 'file' });
  });
  mkdirSync(root, { recursive: true });
  const opens = ({ path }: TarEntry): Counted => {
    opened.push(path);
    return new Counted(FileReader.open(join(folder, path)));
  };
  return {
    ...(atOnce && { openAtOnce: opens }),
    batches: Math.ceil(entries.length / 7),
    batch: async (index) => entries.slice(index * 7, index * 7 + 7).map((entry) => ({ ...entry })),
    open: async (entry) => {
      waited += 1;
      return opens(entry);
    },
  };
}

async function whole(reader: RandomReader): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readChunks(reader)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const sizes = [0, 1, 511, 512, 513, 100_000, 0, 3_000_000, 1024, ...Array.from({ length: 60 }, (_, n) => n * 37)];

describe.each([
  ['patient', false],
  ['prompt', true],
])('TarLayout, of files whose opening is %s', (kind, atOnce) => {
  it('knows the length beforehand and makes a tar that GNU tar unpacks', async () => {
    const source = sourceOf(`${kind}-gnu`, sizes, atOnce);
    const layout = await TarLayout.of(source);
    const reader = layout.reader();
    waited = 0;
    const tar = await whole(reader);
    await reader.close();
    expect(waited > 0).toBe(!atOnce);
    expect(tar.length).toBe(layout.size);
    expect(tar.length % 10_240).toBe(0);
    writeFileSync(join(folder, `${kind}-gnu.tar`), tar);
    mkdirSync(join(folder, `${kind}-out`));
    execFileSync('tar', ['-xf', join(folder, `${kind}-gnu.tar`), '-C', join(folder, `${kind}-out`)]);
    execFileSync('diff', ['-r', join(folder, `${kind}-gnu`), join(folder, `${kind}-out/${kind}-gnu`)]);
    expect(open).toBe(0);
    expect(mostOpen).toBe(1);
  });

  it('gives any range as the whole has it, without opening what is not in it', async () => {
    const layout = await TarLayout.of(sourceOf(`${kind}-ranges`, sizes, atOnce));
    const reader = layout.reader();
    const tar = await whole(reader);
    for (let count = 0; count < 300; count += 1) {
      const start = Math.floor(Math.random() * layout.size);
      const length = 1 + Math.floor(Math.random() * (count % 3 === 0 ? 2_000_000 : 2000));
      const buffer = Buffer.alloc(length, 0xff);
      const got = await reader.read(buffer, start);
      expect(got).toBe(Math.min(length, layout.size - start));
      expect(buffer.subarray(0, got).equals(tar.subarray(start, start + got)), `${start}+${length}`).toBe(true);
    }
    opened = [];
    await reader.read(Buffer.alloc(100), layout.size - 100);
    await reader.read(Buffer.alloc(100), 0);
    expect(opened).toEqual([]);
    await reader.close();
    expect(open).toBe(0);
  });

  it('serves reads at once from one reader', async () => {
    const layout = await TarLayout.of(sourceOf(`${kind}-at-once`, sizes, atOnce));
    const reader = layout.reader();
    const tar = await whole(reader);
    const starts = Array.from({ length: 50 }, () => Math.floor(Math.random() * (layout.size - 5000)));
    const parts = await Promise.all(
      starts.map(async (start) => {
        const buffer = Buffer.alloc(5000);
        await reader.read(buffer, start);
        return buffer;
      }),
    );
    parts.forEach((part, index) => {
      const start = starts[index] ?? 0;
      expect(part.equals(tar.subarray(start, start + 5000))).toBe(true);
    });
    await reader.close();
  });

  it('is the same tar every time', async () => {
    const source = sourceOf(`${kind}-same`, sizes, atOnce);
    const sums = [];
    for (let count = 0; count < 2; count += 1) {
      const reader = (await TarLayout.of(source)).reader();
      sums.push(
        createHash('sha1')
          .update(await whole(reader))
          .digest('hex'),
      );
      await reader.close();
    }
    expect(sums[0]).toBe(sums[1]);
  });

  it('ends with an error when a file is not as long as it was', async () => {
    const source = sourceOf(`${kind}-short`, [10, 20_000, 30], atOnce);
    const layout = await TarLayout.of(source);
    truncateSync(join(folder, `${kind}-short`, 'Größe-1.bin'), 19_999);
    const reader = layout.reader();
    await expect(whole(reader)).rejects.toMatchObject({ code: 'integrity' });
    await reader.close();
    truncateSync(join(folder, `${kind}-short`, 'Größe-1.bin'), 20_001);
    const longer = layout.reader();
    await expect(whole(longer)).rejects.toMatchObject({ code: 'integrity' });
    await longer.close();
    expect(open).toBe(0);
  });

  it('ends with an error when a file is cut while it is read', async () => {
    const source = sourceOf(`${kind}-cut`, [5_000_000], atOnce);
    const reader = (await TarLayout.of(source)).reader();
    const file = `${kind}-cut/${'x'.repeat(120)}-0.bin`;
    await reader.read(Buffer.alloc(100_000), 0);
    truncateSync(join(folder, file), 200_000);
    await expect(reader.read(Buffer.alloc(1_000_000), 100_000)).rejects.toMatchObject({ code: 'integrity' });
    await reader.close();
    expect(open).toBe(0);
  });

  it('is an end marker when there is nothing in it', async () => {
    const layout = await TarLayout.of({ batches: 0, batch: async () => [], open: () => Promise.reject(new Error()) });
    expect(layout.size).toBe(10_240);
    expect(await whole(layout.reader())).toEqual(Buffer.alloc(10_240));
  });
});

import { expect, test } from 'vitest';
import { type ArchiveId, parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { readChunks } from '../../src/lib/random-reader.js';
import type { Drafts, Written } from '../../src/storage/backends/backend.js';
import { collect, expectSame } from '../support/streams.js';

const MTIME = Date.UTC(1994, 10, 6, 8, 49, 37);

/**
 * What every Drafts must do.
 * @param read reads a file of the archive, throwing `not-found`
 * @param put puts another file into it
 */
export function draftsSuite(
  drafts: () => Drafts,
  read: (id: ArchiveId) => Promise<string>,
  put: (id: ArchiveId, text: string) => Promise<void>,
): void {
  const id = parseArchiveId('4711');

  async function finished(group: string, name: string, text: string): Promise<void> {
    const draft = await drafts().create(group, name);
    expect(draft.name).toBe(name);
    await draft.write(Buffer.from(text));
    await draft.finish(MTIME);
  }

  async function draftText(group: string, name: string): Promise<string> {
    const reader = await drafts().open(group, name);
    const bytes = await collect(readChunks(reader));
    await reader.close();
    return bytes.toString();
  }

  test("a draft takes many pieces, whose memory is the giver's again", async () => {
    const draft = await drafts().create('job-1', '0');
    const memory = Buffer.alloc(50_000);
    for (let turn = 0; turn < 60; turn += 1) await draft.write(memory.fill(turn + 1));
    memory.fill(0);
    await draft.finish(MTIME);
    const reader = await drafts().open('job-1', '0');
    const bytes = await collect(readChunks(reader));
    await reader.close();
    expectSame(bytes, Buffer.concat(Array.from({ length: 60 }, (_, turn) => Buffer.alloc(50_000, turn + 1))));
  });

  test('a draft is there when it is finished, and not before', async () => {
    const draft = await drafts().create('job-1', '0');
    await draft.write(Buffer.from('half'));
    await expect(drafts().open('job-1', '0')).rejects.toMatchObject({ code: 'not-found' });
    await expect(drafts().publish('job-1', '0', id)).rejects.toMatchObject({ code: 'not-found' });
    await draft.finish(MTIME);
    expect(await draftText('job-1', '0')).toBe('half');
    await expect(read(id)).rejects.toMatchObject({ code: 'not-found' });
  });

  test('publish tells what it is before anybody can see it, and keeps it to itself when that throws', async () => {
    await finished('job-1', '0', 'bytes');
    const refuse = (): never => {
      throw new PacificaError('invalid', 'not this one');
    };
    await expect(drafts().publish('job-1', '0', id, { beforeVisible: refuse })).rejects.toThrow('not this one');
    await expect(read(id)).rejects.toMatchObject({ code: 'not-found' });
    const told: Written[] = [];
    const beforeVisible = async (written: Written): Promise<void> => {
      told.push(written);
      await expect(read(id)).rejects.toMatchObject({ code: 'not-found' });
    };
    await drafts().publish('job-1', '0', id, { beforeVisible });
    expect(told).toMatchObject([{ size: 5, mtimeMs: MTIME }]);
    expect(await read(id)).toBe('bytes');
  });

  test('publish shows it; again is nothing to do; the draft stays', async () => {
    await finished('job-1', '0', 'bytes');
    await drafts().publish('job-1', '0', id);
    await drafts().publish('job-1', '0', id);
    expect(await read(id)).toBe('bytes');
    expect(await draftText('job-1', '0')).toBe('bytes');
  });

  test('publish never replaces another file', async () => {
    await put(id, 'another');
    await finished('job-1', '0', 'bytes');
    await expect(drafts().publish('job-1', '0', id)).rejects.toMatchObject({ code: 'exists' });
    expect(await read(id)).toBe('another');
  });

  test('unpublish takes it back; again is nothing to do; it can be published again', async () => {
    await finished('job-1', '0', 'bytes');
    await drafts().publish('job-1', '0', id);
    await drafts().unpublish('job-1', '0', id);
    await expect(read(id)).rejects.toMatchObject({ code: 'not-found' });
    await drafts().unpublish('job-1', '0', id);
    await drafts().publish('job-1', '0', id);
    expect(await read(id)).toBe('bytes');
  });

  test('unpublish leaves what is not this draft', async () => {
    await finished('job-1', '0', 'bytes');
    await put(id, 'another');
    await drafts().unpublish('job-1', '0', id);
    expect(await read(id)).toBe('another');
  });

  test('a draft that is made anew does not change what was published', async () => {
    await finished('job-1', '0', 'first');
    await drafts().publish('job-1', '0', id);
    await finished('job-1', '0', 'second');
    expect(await read(id)).toBe('first');
    expect(await draftText('job-1', '0')).toBe('second');
    await drafts().publish('job-1', '0', parseArchiveId(4712));
    expect(await read(parseArchiveId(4712))).toBe('second');
  });

  test('two that write the same draft do not mix', async () => {
    const [one, two] = [await drafts().create('job-1', '0'), await drafts().create('job-1', '0')];
    await one.write(Buffer.alloc(1000, 'a'));
    await two.write(Buffer.alloc(2000, 'b'));
    await two.finish(MTIME);
    await one.write(Buffer.alloc(500, 'a'));
    await one.finish(MTIME);
    expect(await draftText('job-1', '0')).toBe('a'.repeat(1500));
  });

  test('discard removes it, finished or not', async () => {
    const draft = await drafts().create('job-1', '0');
    await draft.write(Buffer.alloc(2_000_000));
    await draft.discard();
    await draft.discard();
    const whole = await drafts().create('job-1', '1');
    await whole.finish(MTIME);
    await whole.discard();
    await expect(drafts().open('job-1', '1')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('groups are listed and removed at once; what was published stays', async () => {
    await finished('job-1', '0', 'one');
    await finished('job-1', '1', 'two');
    await finished('job-2', '0', 'three');
    await drafts().publish('job-1', '0', id);
    expect((await drafts().groups()).sort()).toEqual(['job-1', 'job-2']);
    await drafts().removeGroup('job-1');
    await drafts().removeGroup('job-1');
    expect(await drafts().groups()).toEqual(['job-2']);
    expect(await read(id)).toBe('one');
    await expect(drafts().open('job-1', '1')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a draft whose group was removed can not be finished', async () => {
    const draft = await drafts().create('job-1', '0');
    await draft.write(Buffer.from('late'));
    await drafts().removeGroup('job-1');
    await expect(draft.finish(MTIME)).rejects.toMatchObject({ code: 'aborted' });
    expect(await drafts().groups()).toEqual([]);
  });

  test.each([
    ['../x', '0'],
    ['a/b', '0'],
    ['', '0'],
    ['job', '../0'],
    ['job', '.x'],
    ['job', ''],
  ])('group %j and name %j lead nowhere', async (group, name) => {
    await expect((async () => drafts().create(group, name))()).rejects.toMatchObject({ code: 'invalid' });
    await expect((async () => drafts().open(group, name))()).rejects.toMatchObject({ code: 'invalid' });
  });
}

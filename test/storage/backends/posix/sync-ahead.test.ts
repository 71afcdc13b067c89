import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseArchiveId } from '../../../../src/lib/archive-id.js';
import type { Draft } from '../../../../src/storage/backends/backend.js';
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { injectFaults } from '../../../support/fault-fs.js';
import { removeFolder, temporaryFolder } from '../../../support/temporary-folder.js';
import { filesBelow } from '../../../support/tree.js';
import { until } from '../../../support/until.js';

// The disk is told to begin while a large file still comes in. The system tells a fault of the disk once: what such a
// sync was told, the one at the end is not told again.

/** more than comes in before the disk is told to begin */
const LARGE = Buffer.alloc(33 * 1024 * 1024, 'large');

/** more than goes through the page cache at any rate */
const SMALLER = LARGE.subarray(0, 9 * 1024 * 1024);

let folder: string;
let backend: PosixBackend;
let others: Draft[] = [];
let restore: () => void = () => undefined;
beforeEach(async () => {
  folder = await temporaryFolder();
  backend = new PosixBackend(join(folder, 'archive'), { useId2filename: false });
  // as many as go past the page cache at a time: those go to the disk at once
  others = await Promise.all(['a', 'b'].map((name) => backend.drafts.create('others', name)));
  for (const draft of others) await draft.write(SMALLER);
});
afterEach(async () => {
  restore();
  await removeFolder(folder);
});

/** Lets the first sync fail, and every other one pass. */
async function failFirstSync(): Promise<void> {
  let syncs = 0;
  restore = await injectFaults(({ name }) => (name === 'sync' && (syncs += 1) === 1 ? 'EIO' : undefined));
}

async function expectNothing(): Promise<void> {
  restore();
  for (const draft of others) await draft.discard();
  await expect(backend.drafts.open('group', '0')).rejects.toMatchObject({ code: 'not-found' });
  await expect(backend.drafts.publish('group', '0', parseArchiveId(1))).rejects.toMatchObject({ code: 'not-found' });
  expect(await filesBelow(join(folder, 'archive'))).toEqual([]);
}

test('a file whose early sync failed can not be finished, though the last sync knows of nothing', async () => {
  const draft = await backend.drafts.create('group', '0');
  await failFirstSync();
  await draft.write(LARGE);
  await expect(draft.finish(0)).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('EIO') as string,
    hint: expect.stringContaining('disk') as string,
  });
  await expectNothing();
});

test('a file whose early sync failed takes nothing more: its sender learns of it before the end', async () => {
  const draft = await backend.drafts.create('group', '0');
  await failFirstSync();
  await draft.write(LARGE);
  const refusal = await until('a piece to be refused', () =>
    draft.write(Buffer.from('more')).then(
      () => undefined,
      (error: unknown) => error,
    ),
  );
  expect(refusal).toMatchObject({ code: 'internal', message: expect.stringContaining('EIO') as string });
  await draft.discard();
  await expectNothing();
});

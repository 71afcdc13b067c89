import { mkdir, readFile, stat, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { storageBackendSuite, type Tenant } from '../../../contract/storage-backend.js';
import { type Fault, injectFaults, type Step } from '../../../support/fault-fs.js';
import { piecesOf } from '../../../support/streams.js';
import { removeFolder, temporaryFolder } from '../../../support/temporary-folder.js';
import { emptyFolders, filesBelow } from '../../../support/tree.js';
import { changes, ID, NEW, OLD, prepare } from './changes.js';

async function faultyTenant(fault: Fault): Promise<Tenant> {
  const folder = await temporaryFolder();
  const root = join(folder, 'archive');
  const restore = await injectFaults(() => fault);
  return {
    backend: new PosixBackend(root, { useId2filename: true }),
    async litter() {
      restore();
      return filesBelow(join(root, '.pacifica', 'tmp'));
    },
    dispose: () => removeFolder(folder),
  };
}

// file systems may write less than they were asked to, and take their time, without anything being wrong
storageBackendSuite('posix, every write is short', () => faultyTenant('short'), { plainNames: false });
storageBackendSuite('posix, every step is slow', () => faultyTenant('slow'), { plainNames: false });

describe.each(Object.entries(changes))('a fault in any step of %s', (name, change) => {
  let folder: string;
  let root: string;
  let backend: PosixBackend;
  let restore: () => void = () => undefined;

  beforeEach(async () => {
    folder = await temporaryFolder();
    root = join(folder, 'archive');
    await mkdir(root);
    backend = new PosixBackend(root, { useId2filename: true });
  });

  afterEach(async () => {
    restore();
    await removeFolder(folder);
  });

  test.each(['EIO', 'ENOSPC'] as const)('%s: old or new, whole, and no litter', async (code) => {
    for (let broken = 1; ; broken += 1) {
      const round = join(folder, String(broken));
      const file = await prepare(backend, round, change);
      let hit: Step | undefined;
      restore = await injectFaults((step) => {
        if (step.number !== broken) return undefined;
        hit = step;
        return code;
      });
      const failure = await change.run(backend, round).then(
        () => undefined,
        (error: unknown) => error,
      );
      restore();
      if (hit === undefined) {
        expect(failure).toBeUndefined();
        expect(broken).toBeGreaterThan(change.leastSteps);
        return;
      }
      const text = await readFile(file, 'utf8').catch(() => undefined);
      const context = `${name}, step ${broken} (${hit.name} ${hit.path ?? ''})`;
      if (failure === undefined) expect([context, text]).toEqual([context, change.after]);
      else {
        expect([context, failure]).toMatchObject([context, { code: code === 'ENOSPC' ? 'no-space' : 'internal' }]);
        expect([context, [change.before, change.after].includes(text)]).toEqual([context, true]);
      }
      // a source that was not taken is as it was
      const source = join(round, 'source');
      if (change.source && text !== change.after) {
        expect([context, (await stat(source)).mode & 0o777, await readFile(source, 'utf8')]).toEqual([
          context,
          0o640,
          NEW,
        ]);
      }
      const left = await filesBelow(join(root, '.pacifica', 'tmp'));
      // what could not be removed is there, of course; it is swept when the process is gone
      const unremoved = hit.name === 'unlink' ? [basename(hit.path ?? '')] : [];
      expect([context, left.filter((one) => !unremoved.includes(one))]).toEqual([context, []]);
      for (const one of left) await unlink(join(root, '.pacifica', 'tmp', one));
      if (failure !== undefined && hit.name !== 'rmdir') {
        expect([context, await emptyFolders(root, ['.pacifica'])]).toEqual([context, []]);
      }
      if (text !== undefined) await backend.delete(ID);
    }
  });
});

describe.each(Object.entries(changes))('an end without warning before any step of %s', (name, change) => {
  // test/long has it with kill -9
  test('old or new, whole', async () => {
    const folder = await temporaryFolder();
    for (let last = 1; ; last += 1) {
      const root = join(folder, String(last), 'archive');
      const backend = new PosixBackend(root, { useId2filename: true });
      const file = await prepare(backend, join(folder, String(last)), change);
      let reached: () => void = () => undefined;
      const end = new Promise<'ended'>((resolve) => (reached = () => resolve('ended')));
      const restore = await injectFaults((step) => {
        if (step.number === last) reached();
        return step.number === last ? 'never' : undefined;
      });
      const running = change.run(backend, join(folder, String(last))).then(
        () => 'done',
        () => 'failed',
      );
      const result = await Promise.race([end, running]);
      const text = await readFile(file, 'utf8').catch(() => undefined);
      const context = `${name}, step ${last}`;
      expect([context, [change.before, change.after].includes(text)]).toEqual([context, true]);
      if (result === 'done') {
        expect(text).toBe(change.after);
        expect(last).toBeGreaterThan(change.leastSteps);
      }
      restore();
      await running;
      if (result === 'done') break;
    }
    await removeFolder(folder);
  });
});

test('the steps of a put, in the order that makes it durable', async () => {
  const folder = await temporaryFolder();
  const backend = new PosixBackend(join(folder, 'archive'), { useId2filename: false });
  await backend.put(ID, piecesOf(Buffer.from(OLD)));
  const steps: string[] = [];
  const restore = await injectFaults(({ name }) => {
    steps.push(name);
    return undefined;
  });
  await changes['put over a file'].run(backend);
  restore();
  // the last one is the folder's
  expect(steps).toEqual(['open', 'write', 'chmod', 'utimes', 'sync', 'rename', 'sync']);
  expect(await readFile(join(folder, 'archive', ID), 'utf8')).toBe(NEW);
  await removeFolder(folder);
});

test('the steps of a move in one file system, in the order that makes it durable', async () => {
  const folder = await temporaryFolder();
  const backend = new PosixBackend(join(folder, 'archive'), { useId2filename: false });
  await prepare(backend, folder, changes.adopt);
  await backend.put(ID, piecesOf(Buffer.from(OLD)));
  const steps: string[] = [];
  const restore = await injectFaults(({ name }) => {
    steps.push(name);
    return undefined;
  });
  await changes.adopt.run(backend, folder);
  restore();
  // the last ones are the folder's that has the file now and the one's that had it
  expect(steps).toEqual(['chmod', 'sync', 'rename', 'sync', 'sync']);
  await removeFolder(folder);
});

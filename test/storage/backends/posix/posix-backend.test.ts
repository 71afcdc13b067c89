import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import { link, mkdir, open, readdir, readFile, stat, symlink, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseArchiveId } from '../../../../src/lib/archive-id.js';
import { openBackend } from '../../../../src/storage/backends/index.js';
import { PosixBackend } from '../../../../src/storage/backends/posix/posix-backend.js';
import { injectFaults } from '../../../support/fault-fs.js';
import { otherFileSystem } from '../../../support/other-file-system.js';
import { piecesOf } from '../../../support/streams.js';
import { removeFolder, temporaryFolder } from '../../../support/temporary-folder.js';
import { filesBelow } from '../../../support/tree.js';

const id = parseArchiveId('12345');

let folder: string;
let root: string;
let backend: PosixBackend;

beforeEach(async () => {
  folder = await temporaryFolder();
  root = join(folder, 'archive');
  backend = new PosixBackend(root, { useId2filename: false });
});

afterEach(() => removeFolder(folder));

test('a stored file is read-only for everybody, whatever the umask and the source had', async () => {
  await backend.put(id, piecesOf(Buffer.from('x')));
  const source = join(folder, 'source');
  await writeFile(source, 'y', { mode: 0o4777 });
  await backend.adopt(parseArchiveId(2), source);
  const draft = await backend.drafts.create('job', '0');
  await draft.finish(0);
  await backend.drafts.publish('job', '0', parseArchiveId(3));
  for (const name of ['12345', '2', '3']) expect((await stat(join(root, name))).mode & 0o7777).toBe(0o444);
});

test('while it is written nobody else can read it', async () => {
  let mode = 0;
  async function* body(): AsyncGenerator<Buffer> {
    yield Buffer.from('secret');
    const [name = ''] = await readdir(join(root, '.pacifica', 'tmp'));
    mode = (await stat(join(root, '.pacifica', 'tmp', name))).mode & 0o777;
  }
  await backend.put(id, body());
  expect(mode).toBe(0o600);
});

test('files of the storage that another program wrote are files of the archive', async () => {
  await mkdir(root);
  await writeFile(join(root, '12345'), 'by hand');
  expect((await backend.status(id)).size).toBe(7);
  await symlink(join(root, '12345'), join(root, 'alias'));
  expect((await backend.status(parseArchiveId('alias'))).size).toBe(7);
});

test('folders, pipes and dangling links are no files, and nothing waits for them', async () => {
  await mkdir(join(root, '1'), { recursive: true });
  execFileSync('mkfifo', [join(root, '2')]);
  await symlink('nowhere', join(root, '3'));
  await symlink('4', join(root, '4'));
  for (const name of ['1', '2', '3', '4']) {
    await expect(backend.open(parseArchiveId(name))).rejects.toMatchObject({ code: 'not-found' });
    await expect(backend.status(parseArchiveId(name))).rejects.toMatchObject({ code: 'not-found' });
  }
  await expect(backend.delete(parseArchiveId('1'))).rejects.toMatchObject({ code: 'not-found' });
  await expect(backend.put(parseArchiveId('1'), piecesOf(Buffer.from('x')))).rejects.toMatchObject({ code: 'exists' });
});

test('a file that is cut while it is read is an integrity error', async () => {
  await mkdir(root);
  await writeFile(join(root, '12345'), Buffer.alloc(100_000));
  const file = await backend.open(id);
  await (await open(join(root, '12345'), 'w')).close();
  await expect(file.read(Buffer.alloc(1000), 50_000)).rejects.toMatchObject({ code: 'integrity' });
  await file.close();
});

test('a second name of a moved file stays outside: the archive gets bytes of its own', async () => {
  const source = join(folder, 'source');
  await writeFile(source, 'bytes');
  await link(source, join(folder, 'other-name'));
  await backend.adopt(id, source);
  expect((await stat(join(root, '12345'))).nlink).toBe(1);
  expect((await readFile(join(folder, 'other-name'))).toString()).toBe('bytes');
  await expect(stat(source)).rejects.toThrow('ENOENT');
});

test('a file that is copied is told of while it is, and the copy can be stopped', async () => {
  const source = join(folder, 'source');
  await writeFile(source, Buffer.alloc(3_000_000, 7));
  await link(source, join(folder, 'other-name'));
  const stop = new AbortController();
  let told = 0;
  const onBytes = (bytes: number): void => {
    told += bytes;
    stop.abort(new Error('not any more'));
  };
  await expect(backend.adopt(id, source, { signal: stop.signal, onBytes })).rejects.toMatchObject({ code: 'aborted' });
  expect(told).toBeGreaterThan(0);
  expect(told).toBeLessThan(3_000_000);
  await expect(backend.status(id)).rejects.toMatchObject({ code: 'not-found' });
  expect(await filesBelow(root)).toEqual([]);

  told = 0;
  await backend.adopt(id, source, { onBytes: (bytes) => (told += bytes) });
  expect(told).toBe(3_000_000);
});

test.runIf(process.platform === 'linux')('a file of another file system is copied, with its time', async () => {
  const source = join(otherFileSystem(), `pacifica-test-${process.pid}`);
  await writeFile(source, Buffer.alloc(3_000_000, 7), { mode: 0o600 });
  await utimes(source, 784_111_777, 784_111_777);
  expect((await stat(source)).dev).not.toBe((await stat(folder)).dev);
  await backend.adopt(id, source);
  const stored = await stat(join(root, '12345'));
  expect([stored.size, stored.mtimeMs, stored.mode & 0o7777]).toEqual([3_000_000, 784_111_777_000, 0o444]);
  await expect(stat(source)).rejects.toThrow('ENOENT');
});

test.runIf(process.platform === 'linux')('a file that somebody writes to while it is copied is refused', async () => {
  const source = join(otherFileSystem(), `pacifica-test-${process.pid}`);
  await writeFile(source, Buffer.alloc(3_000_000, 7));
  // when the copy is begun the source has been looked at
  const restore = await injectFaults(({ name, path }) =>
    name === 'open' && path?.includes('.pacifica') === true
      ? () => writeFileSync(source, Buffer.alloc(3_000_000, 8))
      : undefined,
  );
  try {
    await expect(backend.adopt(id, source)).rejects.toMatchObject({ code: 'integrity' });
  } finally {
    restore();
  }
  expect((await readFile(source)).equals(Buffer.alloc(3_000_000, 8))).toBe(true);
  await expect(backend.status(id)).rejects.toMatchObject({ code: 'not-found' });
  await unlink(source);
});

test.runIf(process.platform === 'linux')('a copy that came out wrong is refused, and the source stays', async () => {
  const source = join(otherFileSystem(), `pacifica-test-${process.pid}`);
  await writeFile(source, Buffer.alloc(3_000_000, 7));
  const temporary = join(root, '.pacifica', 'tmp');
  // between the last byte and the look at it, a byte of what was written turns
  const restore = await injectFaults(({ name }) =>
    name === 'sync'
      ? () => {
          for (const name of existsSync(temporary) ? readdirSync(temporary) : []) {
            const file = openSync(join(temporary, name), 'r+');
            writeSync(file, Buffer.from([8]), 0, 1, 1_234_567);
            closeSync(file);
          }
        }
      : undefined,
  );
  try {
    await expect(backend.adopt(id, source)).rejects.toMatchObject({ code: 'integrity' });
  } finally {
    restore();
  }
  expect((await readFile(source)).equals(Buffer.alloc(3_000_000, 7))).toBe(true);
  await expect(backend.status(id)).rejects.toMatchObject({ code: 'not-found' });
  await unlink(source);
});

test('a file that is moved onto itself stays', async () => {
  await backend.put(id, piecesOf(Buffer.from('x')));
  await backend.adopt(id, join(root, '12345'));
  expect((await readFile(join(root, '12345'))).toString()).toBe('x');
});

test('a folder that can not be written says so', async () => {
  await writeFile(join(folder, 'file'), '');
  const broken = new PosixBackend(join(folder, 'file', 'archive'), { useId2filename: false });
  await expect(broken.put(id, piecesOf(Buffer.from('x')))).rejects.toMatchObject({ code: 'internal' });
  await expect(broken.status(id)).rejects.toMatchObject({ code: 'not-found' });
});

describe('sweep', () => {
  const temporary = (): string => join(root, '.pacifica', 'tmp');

  /** Starts a process that begins to write a file and draft, and then waits. */
  async function writer(): Promise<{ pid: number; kill: () => Promise<void> }> {
    const child = spawn(process.execPath, ['--import', 'tsx/esm', join(import.meta.dirname, 'stuck-writer.ts'), root], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return {
      pid: child.pid ?? 0,
      async kill() {
        child.kill('SIGKILL');
        await once(child, 'exit');
      },
    };
  }

  test('takes what a dead process left, and nothing of a running one', async () => {
    const child = await writer();
    expect(await readdir(temporary())).toHaveLength(2);
    expect(await backend.sweep()).toBe(0);
    let resume: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (resume = resolve));
    async function* slow(): AsyncGenerator<Buffer> {
      yield Buffer.from('ours');
      await held;
    }
    const ours = backend.put(id, slow());
    await child.kill();
    expect(await backend.sweep()).toBe(2);
    resume();
    await ours;
    expect(await filesBelow(root)).toEqual(['12345']);
  });

  test('what is of another machine goes by age', async () => {
    await mkdir(temporary(), { recursive: true });
    const foreign = join(temporary(), '0123456789ab.42.4711.00112233aabbccdd');
    await writeFile(foreign, 'half');
    await utimes(foreign, 0, 0);
    expect(await backend.sweep()).toBe(0);
    expect(await readdir(temporary())).toHaveLength(1);
  });

  test('a number that another process has now does not keep the file of a dead one', async () => {
    const child = await writer();
    const [name = ''] = await readdir(temporary());
    const [machine = ''] = name.split('.');
    const reused = join(temporary(), `${machine}.${child.pid}.1.00112233aabbccdd`);
    await writeFile(reused, 'half');
    expect(await backend.sweep()).toBe(1);
    await expect(stat(reused)).rejects.toThrow('ENOENT');
    await child.kill();
    expect(await backend.sweep()).toBe(2);
  });
});

describe('openBackend', () => {
  test('posix, with escapes', async () => {
    const odd = join(folder, 'a b#ü?');
    const opened = openBackend(`posix://${odd.split('/').map(encodeURIComponent).join('/')}/`, {
      useId2filename: false,
    });
    await opened.put(id, piecesOf(Buffer.from('x')));
    expect((await readFile(join(odd, '12345'))).toString()).toBe('x');
    expect(openBackend(opened.url, { useId2filename: false }).url).toBe(opened.url);
    await opened.delete(id);
    expect((await stat(odd)).isDirectory()).toBe(true);
  });

  test.each(['tape:///x', '/srv/archive', '', 'posix://host/folder'])('%j is refused', (url) => {
    expect(() => openBackend(url, { useId2filename: false })).toThrow(
      expect.objectContaining({ code: 'invalid', hint: expect.stringContaining('posix:///') as string }) as Error,
    );
  });
});

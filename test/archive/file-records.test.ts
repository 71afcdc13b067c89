import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileRecords } from '../../src/archive/file-records.js';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { type ArchiveId, parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { FileStatus, PutOptions } from '../../src/storage/backends/backend.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { ArchiveFiles } from '../../src/storage/database/archive-files.js';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { databaseKinds } from '../support/databases.js';
import { piecesOf } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';

const kinds = await databaseKinds();
const id = parseArchiveId('12345');

function sha256(text: string): { type: 'sha256'; sum: string } {
  return { type: 'sha256', sum: createHash('sha256').update(text).digest('hex') };
}

/** Dies when it has told what is about to become visible. */
class CrashingBackend extends PosixBackend {
  override async put(of: ArchiveId, body: AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<FileStatus> {
    return super.put(of, body, {
      ...options,
      async beforeVisible(written) {
        await options.beforeVisible?.(written);
        throw new PacificaError('internal', 'crash');
      },
    });
  }
}

describe.each(kinds)('records of the archive on $name', (kind) => {
  let folder: string;
  let root: string;
  let database: Database;
  let tables: ArchiveFiles;
  let backend: PosixBackend;
  let archive: LocalArchive;
  const problems: unknown[] = [];

  beforeEach(async (context) => {
    if (!kind.available) context.skip();
    folder = await temporaryFolder();
    root = join(folder, 'archive');
    database = await Database.open(await kind.create());
    await syncSchema(database);
    tables = new ArchiveFiles(database);
    backend = new PosixBackend(root, { useId2filename: false });
    archive = open();
    problems.length = 0;
  });

  afterEach(async () => {
    await archive.close();
    await database.close();
    await removeFolder(folder);
    expect(problems).toEqual([]);
  });

  function open(): LocalArchive {
    return new LocalArchive({
      backend,
      records: { tables, checksum: 'sha256', onProblem: (error) => problems.push(error) },
    });
  }

  /** As another process would see it: nothing remembered. */
  async function checksum(): Promise<unknown> {
    const fresh = new FileRecords(new ArchiveFiles(database), () => undefined);
    return fresh.checksumOf(id, await backend.status(id));
  }

  async function put(text: string, options = {}): Promise<FileStatus> {
    return archive.put(id, piecesOf(Buffer.from(text)), options);
  }

  async function mend(): Promise<void> {
    await new FileRecords(tables, () => undefined).mend(
      async (of) => backend.status(of).catch(() => undefined),
      Date.now() + 1000,
    );
  }

  async function states(): Promise<string[]> {
    return (await tables.find(id)).map(({ state }) => state).sort();
  }

  test('a put is on record with size, time and checksum when it answers', async () => {
    const { etag } = await put('bytes', { mtimeMs: 784_111_777_000 });
    const [record] = await tables.find(id);
    expect(record).toMatchObject({
      id,
      version: etag,
      size: 5,
      mtime: 784_111_777_000,
      algorithm: 'sha256',
      digest: sha256('bytes').sum,
    });
    await archive.close();
    expect(await states()).toEqual(['settled']);
    expect(await checksum()).toEqual(sha256('bytes'));
  });

  test('it is on record before the file is visible, and the old record holds until it is', async () => {
    await put('old');
    await archive.close();
    archive = open();
    // a crash between the record and the rename: the new row is there, the old file too
    const before = await backend.status(id);
    const crashing = new LocalArchive({
      backend: new CrashingBackend(root, { useId2filename: false }),
      records: { tables, checksum: 'none', onProblem: (error) => problems.push(error) },
    });
    await expect(crashing.put(id, piecesOf(Buffer.from('new')))).rejects.toThrow('crash');
    expect(await states()).toEqual(['pending', 'settled']);
    expect((await backend.status(id)).etag).toBe(before.etag);
    expect(await checksum()).toEqual(sha256('old'));
    await mend();
    expect(await states()).toEqual(['settled']);
    expect(await checksum()).toEqual(sha256('old'));
  });

  test('a crash between the rename and the settling loses nothing', async () => {
    await put('old');
    const status = await backend.put(id, piecesOf(Buffer.from('new')), {
      beforeVisible: async ({ size, mtimeMs, etag }) => {
        await tables.announce({
          id,
          version: etag ?? null,
          size,
          mtime: Math.floor(mtimeMs),
          algorithm: 'sha256',
          digest: sha256('new').sum,
        });
      },
    });
    expect(await checksum()).toEqual(sha256('new'));
    await archive.close();
    await mend();
    const rows = await tables.find(id);
    expect(rows.find(({ version }) => version === status.etag)?.state).toBe('settled');
    expect(await checksum()).toEqual(sha256('new'));
  });

  test('a file that is replaced leaves one row when all is mended', async () => {
    for (const text of ['1', '2', '3', '4']) await put(text);
    await archive.close();
    await mend();
    expect(await states()).toEqual(['settled']);
    expect(await checksum()).toEqual(sha256('4'));
  });

  test('of many that put at once the one on record is the one that is there', async () => {
    await Promise.all(Array.from({ length: 30 }, (_, index) => put(`text ${index}`)));
    const text = (await readFile(join(root, id))).toString();
    expect(await checksum()).toEqual(sha256(text));
    await archive.close();
    await mend();
    expect(await states()).toEqual(['settled']);
    expect(await checksum()).toEqual(sha256(text));
  });

  test('delete takes the record away; a crash in between is mended either way', async () => {
    await put('bytes');
    await archive.delete(id);
    await archive.close();
    expect(await states()).toEqual([]);

    archive = open();
    await put('bytes');
    await archive.close();
    await tables.deleting(id, (await backend.status(id)).etag);
    expect(await checksum()).toEqual(sha256('bytes'));
    await mend();
    expect(await states()).toEqual(['settled']);
    await tables.deleting(id, (await backend.status(id)).etag);
    await rm(join(root, id));
    await mend();
    expect(await states()).toEqual([]);
    archive = open();
  });

  test('rows of somebody at work are left alone', async () => {
    await tables.announce({ id, version: 'x', size: 1, mtime: 1, algorithm: null, digest: null });
    await new FileRecords(tables, () => undefined).mend(async () => Promise.resolve(undefined));
    expect(await states()).toEqual(['pending']);
  });

  test('an archive that was copied to another disk keeps its records', async () => {
    await put('bytes', { mtimeMs: 784_111_777_000 });
    await archive.close();
    await writeFile(join(folder, 'copy'), 'bytes');
    await utimes(join(folder, 'copy'), 784_111_777, 784_111_777);
    await rename(join(folder, 'copy'), join(root, id));
    expect(await checksum()).toEqual(sha256('bytes'));
    archive = open();
  });

  test('a published draft is on record with what is known of it', async () => {
    const draft = await archive.drafts.create('job', '0');
    await draft.write(Buffer.from('bytes'));
    await draft.finish(784_111_777_000);
    await archive.drafts.publish('job', '0', id, { checksum: sha256('bytes') });
    expect(await checksum()).toEqual(sha256('bytes'));
    await archive.drafts.unpublish('job', '0', id);
    await archive.close();
    expect(await states()).toEqual([]);
    archive = open();
    await archive.drafts.publish('job', '0', id);
    expect(await checksum()).toBeUndefined();
  });

  test('a file moved from one id to another takes its record along', async () => {
    await put('bytes');
    const other = parseArchiveId('2');
    await archive.move(other, join(root, id));
    await archive.close();
    expect(await states()).toEqual([]);
    expect(await new FileRecords(tables, () => undefined).checksumOf(other, await backend.status(other))).toEqual(
      sha256('bytes'),
    );
  });

  test('without the database nothing is stored: 503 is better than a file that nobody can check', async () => {
    await mkdir(root, { recursive: true });
    await database.sequelize.query('DROP TABLE pacifica_archive_file');
    await expect(put('bytes')).rejects.toThrow();
    await expect(backend.status(id)).rejects.toMatchObject({ code: 'not-found' });
  });
});

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RemoteArchive } from '../../src/archive/remote-archive.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { type ArchiveService, startArchive } from '../support/archive-service.js';
import { OriginalArchive } from '../support/original-archive.js';
import { startServer } from '../support/server.js';
import { collect, expectSame, ownPiecesOf } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { filesBelow } from '../support/tree.js';

const id = parseArchiveId('4711');
const BYTES = Buffer.alloc(200_000, 'x');

let spool: string;

beforeEach(async () => {
  spool = await temporaryFolder();
});

afterEach(() => removeFolder(spool));

async function draft(archive: RemoteArchive, bytes: Buffer): Promise<void> {
  const written = await archive.drafts.create('job-1', '0');
  await written.write(bytes);
  await written.finish(784_111_777_000);
}

describe('an original archive interface', () => {
  let original: OriginalArchive;
  let archive: RemoteArchive;

  beforeEach(async () => {
    original = new OriginalArchive();
    await original.start();
    archive = new RemoteArchive({ url: `${original.url}/`, spool, retryBudgetMs: 1500 });
  });

  afterEach(async () => {
    await archive.close();
    await original.close();
  });

  test('bytes go there and come back, whole and in parts', async () => {
    expect(await archive.put(id, ownPiecesOf(BYTES), { size: BYTES.length })).toEqual({ size: BYTES.length });
    expect(await archive.status(id)).toMatchObject({
      size: BYTES.length,
      mtimeMs: 1795175014224.183,
      ctimeMs: 1795175015221.6218,
      bytesPerLevel: [BYTES.length],
      media: 'disk',
      path: '/srv/archive/4711',
    });
    const file = await archive.open(id);
    expectSame(await collect(file.stream()), BYTES);
    expectSame(await collect(file.stream(5, 105)), BYTES.subarray(5, 105));
    await file.close();
    await archive.stage([id]);
    await archive.delete(id);
    expect(original.files.size).toBe(0);
  });

  test('its 500 for a missing file is not-found, at once', async () => {
    const before = performance.now();
    for (const look of [
      () => archive.status(id),
      () => archive.open(id),
      () => archive.stage([id]),
      () => archive.delete(id),
      () => archive.move(id, '/srv/nope'),
    ]) {
      await expect(look()).rejects.toMatchObject({ code: 'not-found' });
    }
    expect(performance.now() - before).toBeLessThan(1000);
  });

  test('exclusive asks beforehand, since it overwrites whatever is there', async () => {
    original.files.set('4711', Buffer.from('old'));
    await expect(archive.put(id, ownPiecesOf(BYTES), { size: BYTES.length, mode: 'exclusive' })).rejects.toMatchObject({
      code: 'exists',
    });
    await draft(archive, BYTES);
    await expect(archive.drafts.publish('job-1', '0', id)).rejects.toMatchObject({ code: 'exists' });
    expect(original.files.get('4711')?.toString()).toBe('old');
  });

  test('a body that ends early, which it does not tell, is an integrity error', async () => {
    original.files.set('4711', BYTES);
    const file = await archive.open(id);
    original.faults.push({ method: 'GET', fault: 'short' });
    await expect(collect(file.stream())).rejects.toMatchObject({ code: 'integrity' });
    original.faults.push({ method: 'GET', fault: 'short' });
    await expect(collect(file.stream(0, 100))).rejects.toMatchObject({ code: 'integrity' });
    await file.close();
  });

  test('what may pass is tried again', async () => {
    original.files.set('4711', BYTES);
    original.faults.push({ method: 'HEAD', fault: '503' }, { method: 'HEAD', fault: 'cut-before' });
    expect((await archive.status(id)).size).toBe(BYTES.length);
    original.faults.push({ method: 'DELETE', fault: 'cut-after' });
    await archive.delete(id);
    expect(original.files.size).toBe(0);
  });

  test('a service that stays away is unavailable when the time is up', async () => {
    await original.close();
    await expect(archive.status(id)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`can not reach the archive at ${original.url}: `) as string,
    });
  });

  describe('publish', () => {
    beforeEach(() => draft(archive, BYTES));

    test.each(['cut-before', 'cut-after', '503'] as const)(
      'goes through a connection that breaks (%s)',
      async (fault) => {
        original.faults.push({ method: 'PUT', fault });
        await archive.drafts.publish('job-1', '0', id);
        expectSame(original.files.get('4711') ?? Buffer.alloc(0), BYTES);
      },
    );

    test('after a crash in the middle it knows its own file, and no other', async () => {
      // the first process sends the file and dies before it hears of it
      original.faults.push({ method: 'PUT', fault: 'cut-after' });
      const dying = new RemoteArchive({ url: original.url, spool });
      const publishing = dying.drafts.publish('job-1', '0', id).catch(() => undefined);
      while (original.files.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await dying.close();
      await publishing;
      await archive.drafts.publish('job-1', '0', id);
      expectSame(original.files.get('4711') ?? Buffer.alloc(0), BYTES);
    });

    test('a file of another that appeared after a crash is not taken for its own', async () => {
      original.faults.push({ method: 'PUT', fault: 'cut-before' });
      const dying = new RemoteArchive({ url: original.url, spool, retryBudgetMs: 1 });
      const publishing = dying.drafts.publish('job-1', '0', id).catch(() => undefined);
      while (!original.requests.includes('PUT /4711')) await new Promise((resolve) => setTimeout(resolve, 5));
      await dying.close();
      await publishing;
      original.files.set('4711', Buffer.alloc(BYTES.length, 'y'));
      await expect(archive.drafts.publish('job-1', '0', id)).rejects.toMatchObject({ code: 'exists' });
      await archive.drafts.unpublish('job-1', '0', id);
      expect(original.files.get('4711')?.toString('latin1', 0, 1)).toBe('y');
    });

    test('unpublish leaves a file that somebody put there since', async () => {
      await archive.drafts.publish('job-1', '0', id);
      original.files.set('4711', Buffer.from('newer'));
      await archive.drafts.unpublish('job-1', '0', id);
      expect(original.files.get('4711')?.toString()).toBe('newer');
    });

    test('is not sent again once it is known to be there', async () => {
      await archive.drafts.publish('job-1', '0', id);
      await archive.drafts.publish('job-1', '0', id);
      expect(original.requests.filter((request) => request.startsWith('PUT'))).toHaveLength(1);
    });

    test('removing the group leaves nothing in the spool', async () => {
      await archive.drafts.publish('job-1', '0', id);
      await archive.drafts.removeGroup('job-1');
      expect(await filesBelow(spool)).toEqual([]);
    });
  });
});

describe('ours', () => {
  let service: ArchiveService;

  beforeEach(async () => {
    service = await startArchive();
  });

  afterEach(() => service.close());

  test('a connection that breaks in the middle of a file is taken up again where it broke', async () => {
    const bytes = Buffer.concat(Array.from({ length: 50 }, (_, index) => Buffer.alloc(100_000, index)));
    await service.archive.put(id, ownPiecesOf(bytes));
    let cuts = 0;
    // a proxy in between that cuts every answer after a million bytes
    const proxy = await startServer((req, res) => {
      void (async () => {
        const answer = await fetch(`${service.url}${req.url ?? ''}`, {
          method: req.method,
          headers: { ...(req.headers['if-match'] !== undefined && { 'if-match': req.headers['if-match'] }) },
        });
        res.writeHead(answer.status, Object.fromEntries(answer.headers));
        const body = Buffer.from(await answer.arrayBuffer());
        if (body.length <= 1_000_000) {
          res.end(body);
          return;
        }
        cuts += 1;
        res.write(body.subarray(0, 1_000_000), () => res.destroy());
      })();
    });
    const archive = new RemoteArchive({ url: proxy.url, spool });
    const file = await archive.open(id);
    expectSame(await collect(file.stream()), bytes);
    expect(cuts).toBe(4);
    await file.close();
    await archive.close();
    await proxy.close();
  });

  test('something else that answers 204 is no archive', async () => {
    const other = await startServer((_req, res) => {
      res.writeHead(204);
      res.end();
    });
    const archive = new RemoteArchive({ url: other.url, spool, retryBudgetMs: 100 });
    await expect(archive.status(id)).rejects.toMatchObject({ code: 'bad-gateway' });
    await archive.close();
    await other.close();
  });
});

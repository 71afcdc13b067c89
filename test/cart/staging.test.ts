import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { type CartSite, type SiteOptions, startCartSite } from '../support/cart.js';
import { FarArchive } from '../support/far-archive.js';
import { until } from '../support/until.js';

let site: CartSite;
let far: FarArchive;
afterEach(() => site.close());

async function start(options: SiteOptions = {}): Promise<void> {
  site = await startCartSite(options);
}

async function startFar(options: SiteOptions = {}): Promise<void> {
  await start({ ...options, archive: (real) => (far = new FarArchive(real)) });
}

async function messageOf(uid: string): Promise<string> {
  return (await site.service.find(uid))?.message ?? '';
}

const gone = (): PacificaError => new PacificaError('unavailable', 'the archive is down');

describe('bringing files', () => {
  it('links what lies on the same file system: no space is taken', async () => {
    await start();
    const [file] = site.lay(1, 1000, 1000);
    await site.post('linked', [{ ...file, path: 'a/b' }]);
    expect(await site.end('linked')).toBe('ready');
    const path = join(site.volume, 'cartuids/linked/a/b');
    expect(statSync(path).ino).toBe(statSync(join(site.folder, 'archive/1000')).ino);
    expect((await site.service.find('linked'))?.occupied).toBe(0);
  });

  it('copies what a symbolic link in the archive leads to', async () => {
    await start();
    const [file] = site.lay(1, 1000, 1000);
    renameSync(join(site.folder, 'archive/1000'), join(site.folder, 'elsewhere'));
    symlinkSync('../elsewhere', join(site.folder, 'archive/1000'));
    await site.post('symlink', [{ ...file, path: 'a' }]);
    expect(await site.end('symlink')).toBe('ready');
    expect(lstatSync(join(site.volume, 'cartuids/symlink/a')).isFile()).toBe(true);
    const tar = Buffer.from(await (await fetch(`${site.server.url}/symlink`)).arrayBuffer());
    expect(tar.includes(Buffer.alloc(1000, '1000'))).toBe(true);
  });

  it('keeps room free for what it copies although others are linked', async () => {
    await start();
    const [linked, led] = site.lay(2, 100);
    await site.post('other', [{ ...linked }]);
    expect(await site.end('other')).toBe('ready');
    // as if all of the volume were promised to it
    await site.database.writeStatement("UPDATE pacifica_cart SET reserved = $all WHERE uid = 'other'", {
      all: 2 ** 52,
    });
    const path = join(site.folder, 'archive', led?.id ?? '');
    renameSync(path, `${path}-elsewhere`);
    symlinkSync(`${path}-elsewhere`, path);
    await site.post('mixed', [{ ...linked }, { ...led }]);
    expect(await site.end('mixed')).toBe('error');
    expect((await site.service.find('mixed'))?.message).toBe('No Space Available');
    await site.post('linked', [{ ...linked }]);
    expect(await site.end('linked')).toBe('ready');
  });

  it('copies when it is told to, with time, mode and an inode of its own', async () => {
    await start({ settings: { copy: 'always' } });
    const [file] = site.lay(1, 1000, 1000);
    await site.post('copied', [{ ...file, path: 'a/b' }]);
    expect(await site.end('copied')).toBe('ready');
    const stats = statSync(join(site.volume, 'cartuids/copied/a/b'));
    expect(stats.ino).not.toBe(statSync(join(site.folder, 'archive/1000')).ino);
    expect(stats.mtimeMs).toBe(1_600_000_000_000);
    expect(stats.mode & 0o777).toBe(0o444);
    expect((await site.service.find('copied'))?.occupied).toBe(8192);
  });

  it('has the times of the archive in whole seconds, never later ones', async () => {
    await start({ settings: { copy: 'always' } });
    const file = await site.put(1, 'one', 1_478_000_000_900);
    await site.post('times', [{ ...file, path: 'a' }]);
    expect(await site.end('times')).toBe('ready');
    const id = (await site.service.find('times'))?.id ?? 0;
    expect(await site.tables.files(id, 0, 1)).toMatchObject([{ mtime: 1_478_000_000 }]);
  });

  it('brings several files at a time', async () => {
    await startFar({ settings: { concurrency: 4 } });
    let letIn: () => void = () => undefined;
    const four = new Promise<void>((resolve) => (letIn = resolve));
    far.beforeOpen = () => four;
    await site.post('together', site.lay(8, 100));
    await until('four at a time', () => far.opened.length === 4).finally(letIn);
    expect(await site.end('together')).toBe('ready');
  });

  it('tells bytes of files that are on their way; those of a try that failed count no more', async () => {
    await startFar();
    const [file] = site.lay(1, 10_000);
    let goOn: () => void = () => undefined;
    const asked = new Promise<void>((resolve) => (goOn = resolve));
    far.chunks = async function* (_id, bytes) {
      for await (const chunk of bytes) {
        yield chunk.subarray(0, 6000);
        if (far.opened.length === 1) throw gone();
        await asked;
        yield chunk.subarray(6000);
      }
    };
    await site.post('long', [{ ...file }]);
    await until('the second try', () => far.opened.length === 2);
    const bytes = async (): Promise<string | null> => {
      const answer = await fetch(`${site.server.url}/long`, { method: 'HEAD' });
      expect(answer.headers.get('x-pacifica-files-ready')).toBe('0');
      return answer.headers.get('x-pacifica-bytes-ready');
    };
    // the first try's may have been written meanwhile: the next word is the second one's
    const seen = new Set<string | null>();
    await until('its bytes', async () => {
      const now = await bytes();
      seen.add(now);
      return now === '6000';
    }).finally(goOn);
    expect([...seen].filter((now) => Number(now) > 6000)).toEqual([]);
    expect(await site.end('long')).toBe('ready');
  });

  it('streams from an archive elsewhere', async () => {
    await startFar();
    const files = site.lay(20, 300_000, 1000);
    await site.post('streamed', files);
    expect(await site.end('streamed')).toBe('ready');
    expect(readFileSync(join(site.volume, 'cartuids/streamed/f/7'))).toEqual(Buffer.alloc(300_000, '1007'));
    expect(far.opened).toHaveLength(20);
  });

  it.each(['auto', 'always'] as const)(
    'a file that is replaced or deleted in the archive later does not change a ready cart (copy = %s)',
    async (copy) => {
      await start({ settings: { copy } });
      const files = site.lay(2, 5000, 1000);
      await site.post('kept', files);
      expect(await site.end('kept')).toBe('ready');
      const url = `${site.server.url}/kept?filename=k.tar`;
      const before = Buffer.from(await (await fetch(url)).arrayBuffer());
      await site.put(1000, 'something else');
      await site.archive.delete(parseArchiveId('1001'));
      const after = Buffer.from(await (await fetch(url)).arrayBuffer());
      expect(after.equals(before)).toBe(true);
    },
  );

  it.each(['auto', 'always'] as const)('finds a wrong hash from the bytes (copy = %s)', async (copy) => {
    await start({ settings: { copy } });
    const [good, bad] = site.lay(2, 100, 1000);
    const path = join(site.folder, 'archive/1001');
    const { mode } = statSync(path);
    writeFileSync(`${path}.new`, Buffer.alloc(100, 'y'), { mode });
    renameSync(`${path}.new`, path);
    await site.post('rotten', [{ ...good }, { ...bad }]);
    expect(await site.end('rotten')).toBe('error');
    expect(await messageOf('rotten')).toMatch(/^1 of 2 files failed: f\/1: File hash does not match provided hash/);
    // the other one was brought all the same
    expect((await site.service.find('rotten'))?.filesReady).toBe(1);
    expect(existsSync(join(site.volume, 'cartuids/rotten'))).toBe(false);
    expect(readdirSync(join(site.volume, site.queue.noted[0] ?? '', 'rotten/f'))).toEqual(['0']);
  });

  it('one bad file does not stop the others', async () => {
    await startFar();
    const files = site.lay(30, 100, 1000);
    await site.archive.delete(parseArchiveId('1003'));
    await site.post('mixed', files);
    expect(await site.end('mixed')).toBe('error');
    const cart = await site.service.find('mixed');
    expect(cart?.filesReady).toBe(29);
    expect(cart?.message).toMatch(/^1 of 30 files failed: f\/3: .*1003/);
  });

  it('a file that failed in an earlier run has failed, however well the next one goes', async () => {
    await startFar();
    const files = site.lay(2, 100, 1000);
    await site.archive.delete(parseArchiveId('1000'));
    far.beforeOpen = () => {
      if (site.queue.errors.length === 0) throw gone();
    };
    await site.post('two-runs', files);
    expect(await site.end('two-runs')).toBe('error');
    expect(site.queue.errors).toHaveLength(1);
    expect(await messageOf('two-runs')).toMatch(/^1 of 2 files failed: f\/0: .*1000/);
  });

  it('the message tells what a person can act on, and nothing of our insides', async () => {
    await startFar();
    const [file] = site.lay(1, 100, 1000);
    far.beforeOpen = () => {
      throw new TypeError('undefined is not /srv/secret');
    };
    await site.post('bug', [{ ...file }]);
    expect(await site.end('bug')).toBe('error');
    expect(await messageOf('bug')).toBe(
      '1 of 1 files failed: f/0: The server met an error of its own; its log says which.',
    );
    far.beforeOpen = () => undefined;
    // a path that is taken, and that does not fit behind the volume's own
    const path = `${`${'d'.repeat(250)}/`.repeat(16)}${'x'.repeat(70)}`;
    await site.post('deep', [{ ...file, path }]);
    expect(await site.end('deep')).toBe('error');
    const id = (await site.service.find('deep'))?.id ?? 0;
    expect(await site.tables.filesOf(id, 'error', 0, 1)).toMatchObject([
      { message: 'The path is too long for the volume.' },
    ]);
  });

  it('1,000 small files take a second or so (fault 14)', async () => {
    await start();
    const files = site.lay(1000, 100, 1000);
    const started = performance.now();
    await site.post('thousand', files);
    expect(await site.end('thousand')).toBe('ready');
    expect(performance.now() - started).toBeLessThan(8000);
  });
});

describe('failures that may pass', () => {
  it('are tried again', async () => {
    await startFar();
    const files = site.lay(12, 100, 1000);
    let calls = 0;
    far.beforeOpen = () => {
      calls += 1;
      if (calls % 3 === 0) throw new PacificaError('bad-gateway', 'the archive answered 500');
    };
    await site.post('flaky', files);
    expect(await site.end('flaky')).toBe('ready');
    expect(calls).toBeGreaterThan(12);
    // at once, not when the queue begins the whole cart again
    expect(site.queue.errors).toEqual([]);
  });

  it('are tried again after a pause, the next time after a longer one', async () => {
    await startFar();
    const times: number[] = [];
    far.beforeOpen = () => {
      times.push(performance.now());
      if (times.length < 3) throw gone();
    };
    await site.post('patient', site.lay(1, 100));
    expect(await site.end('patient')).toBe('ready');
    const [first = 0, second = 0, third = 0] = times;
    expect(second - first).toBeGreaterThan(190);
    expect(third - second).toBeGreaterThan(390);
  });

  it('as often as they like, as long as each run gets something done', async () => {
    await startFar();
    const runs = new Set<number>();
    far.beforeOpen = () => {
      const run = site.queue.errors.length;
      if (runs.has(run)) throw gone();
      runs.add(run);
    };
    // more runs than may fail in a row
    await site.post('crawling', site.lay(14, 100));
    expect(await site.end('crawling')).toBe('ready');
    expect(runs.size).toBeGreaterThan(8);
  });

  it('keep no room on the volume while the cart waits for its next run', async () => {
    await startFar();
    far.beforeOpen = () => {
      throw gone();
    };
    site.queue.paused = true;
    await site.post('waiting', site.lay(1, 100));
    const id = site.queue.noted[0] ?? '';
    const run = site.service.handler(id, { attempt: 1, signal: new AbortController().signal });
    await expect(run).rejects.toMatchObject({ code: 'unavailable' });
    expect(await site.service.find('waiting')).toMatchObject({ status: 'staging', reserved: 0 });
  });

  it('an archive that is down for a while: the cart waits, and goes on by itself', async () => {
    await startFar();
    const files = site.lay(30, 100, 1000);
    let down = true;
    far.beforeStatus = () => {
      if (down) throw gone();
    };
    await site.post('down', files);
    await until('a failed run', () => site.queue.errors.length > 0);
    expect((await site.service.find('down'))?.status).toBe('staging');
    // nobody asks 30 times three times over
    expect(far.asked.length).toBeLessThan(40);
    down = false;
    expect(await site.end('down')).toBe('ready');
  });

  it('an archive that stays down: the cart ends in error with the reason', async () => {
    await startFar();
    const [file] = site.lay(1, 100, 1000);
    far.beforeStatus = () => {
      throw gone();
    };
    await site.post('dead', [{ ...file }]);
    expect(await site.end('dead')).toBe('error');
    expect(await messageOf('dead')).toBe('1 of 1 files failed: f/0: the archive is down');
  });

  it('a transfer that breaks off for no reason of ours is tried again', async () => {
    await startFar();
    far.beforeOpen = () => {
      if (far.opened.length === 1) throw new PacificaError('aborted', 'the transfer was stopped');
    };
    await site.post('broken-off', site.lay(2, 100));
    expect(await site.end('broken-off')).toBe('ready');
  });

  it('an archive that sends fewer bytes than it announced never makes a ready cart', async () => {
    await startFar();
    const [file] = site.lay(1, 10_000, 1000);
    far.chunks = async function* () {
      yield Buffer.alloc(9000, '0');
    };
    await site.post('short', [{ ...file }]);
    expect(await site.end('short')).toBe('error');
    expect(await messageOf('short')).toContain('the archive gave 9000 bytes, it had announced 10000');
  });

  it('files on tape are asked for in one request, and waited for', async () => {
    await startFar();
    const files = site.lay(5, 100, 1000);
    let onTape = true;
    far.change = (status) => (onTape && !status.path.endsWith('1004') ? { ...status, media: 'tape' } : status);
    await site.post('tape', files);
    await until('the second look', () => site.queue.errors.length >= 2);
    expect(far.staged[0]?.sort()).toEqual(['1000', '1001', '1002', '1003']);
    expect(site.queue.errors[0]).toMatchObject({ code: 'not-ready' });
    // what was on disk is there already
    expect((await site.service.find('tape'))?.filesReady).toBe(1);
    expect(far.opened).toEqual(['1004']);
    onTape = false;
    expect(await site.end('tape')).toBe('ready');
    expect(far.opened.sort()).toEqual(['1000', '1001', '1002', '1003', '1004']);
  });
});

describe('crashes', () => {
  it('a run that stops after some files is gone on with: only the rest is brought (fault 10)', async () => {
    await startFar({ settings: { concurrency: 1 } });
    const files = site.lay(20, 100, 1000);
    site.queue.paused = true;
    await site.post('stopped', files);
    const id = site.queue.noted[0] ?? '';
    const stop = new AbortController();
    far.beforeOpen = () => {
      // as a process that is told to end, or whose lock is lost
      if (far.opened.length === 8) stop.abort(new Error('stop'));
    };
    await expect(site.service.handler(id, { attempt: 1, signal: stop.signal })).rejects.toThrow('stop');
    const first = [...far.opened];
    far.opened.length = 0;
    far.beforeOpen = () => undefined;

    const { service } = site.another();
    await service.handler(id, { attempt: 2, signal: new AbortController().signal });
    expect((await site.service.find('stopped'))?.status).toBe('ready');
    expect(first.length).toBeLessThan(10);
    // the one under way is done again
    expect(far.opened.length).toBe(20 - first.length + 1);
    expect(readdirSync(join(site.volume, id)).sort()).toEqual(['@cart', 'stopped']);
  });

  it('what a dead process left is removed, and staged files that are gone are brought again', async () => {
    await startFar();
    const files = site.lay(6, 100, 1000);
    site.queue.paused = true;
    await site.post('lost', files);
    const id = Number(site.queue.noted[0]);
    // a dead run: its row, its journal, its scratch folder, and a power cut that took two of its files
    await site.tables.claim(id, 'dead');
    const rows = await site.tables.files(id, 0, 4);
    await site.tables.journal(
      id,
      'dead',
      {},
      rows.map((row) => ({ ...row, status: 'staged', size: 100, mtime: 1_600_000_000 })),
    );
    await mkdir(join(site.volume, String(id), '@run-dead'), { recursive: true });
    writeFileSync(join(site.volume, String(id), '@run-dead', '3'), 'half');
    await mkdir(join(site.volume, String(id), 'lost/f'), { recursive: true });
    writeFileSync(join(site.volume, String(id), 'lost/f/0'), Buffer.alloc(100, '1000'));
    writeFileSync(join(site.volume, String(id), 'lost/f/1'), 'short');

    await site.service.handler(String(id), { attempt: 2, signal: new AbortController().signal });
    expect((await site.service.find('lost'))?.status).toBe('ready');
    expect(far.opened.sort()).toEqual(['1001', '1002', '1003', '1004', '1005']);
    expect(readdirSync(join(site.volume, String(id))).sort()).toEqual(['@cart', 'lost']);
    expect(readFileSync(join(site.volume, String(id), 'lost/f/1'))).toEqual(Buffer.alloc(100, '1001'));
  });

  it.each(['with the file', 'with a failure'])(
    'a worker that was believed dead and comes back %s changes nothing',
    async (how) => {
      await startFar();
      const [file] = site.lay(1, 100, 1000);
      site.queue.paused = true;
      await site.post('zombie', [{ ...file }]);
      const id = site.queue.noted[0] ?? '';
      let wake: () => void = () => undefined;
      const asleep = new Promise<void>((resolve, reject) => {
        wake =
          how === 'with the file' ? resolve : () => reject(new PacificaError('not-found', 'there is no such file'));
      });
      far.beforeOpen = () => asleep;
      const zombie = site.service.handler(id, { attempt: 1, signal: new AbortController().signal });
      await until('the first run is under way', () => far.opened.length === 1);

      far.beforeOpen = () => undefined;
      const { service } = site.another();
      await service.handler(id, { attempt: 2, signal: new AbortController().signal });
      const cart = await site.service.find('zombie');
      expect(cart?.status).toBe('ready');
      const files = await site.tables.files(Number(id), 0, 10);

      wake();
      await zombie;
      expect(await site.service.find('zombie')).toEqual(cart);
      expect(await site.tables.files(Number(id), 0, 10)).toEqual(files);
      expect(readFileSync(join(site.volume, 'cartuids/zombie/f/0'))).toEqual(Buffer.alloc(100, '1000'));
    },
  );

  it('an unfinished cart without a job is queued by the next process', async () => {
    await start();
    const [file] = site.lay(1, 100, 1000);
    site.queue.paused = true;
    await site.post('forgotten', [{ ...file }]);
    const { service, queue } = site.another();
    await service.sweep();
    expect(await site.end('forgotten')).toBe('ready');
    expect(queue.noted).toEqual(site.queue.noted);
    // and not again all the time
    await service.sweep();
    expect(queue.noted).toHaveLength(1);
  });

  it('a cart that another process finishes while the next one looks is not queued again', async () => {
    await start();
    const [file] = site.lay(1, 100, 1000);
    site.queue.paused = true;
    await site.post('quick', [{ ...file }]);
    const { service, queue } = site.another();
    queue.beforeEnsure = () =>
      site.service.handler(site.queue.noted[0] ?? '', { attempt: 1, signal: new AbortController().signal });
    await service.sweep();
    expect((await site.service.find('quick'))?.status).toBe('ready');
    expect(queue.noted).toEqual([]);
  });

  it('a list of files that never came to its end is seen by nobody, and swept away after an hour', async () => {
    await start();
    const posting = site.tables.post('half');
    await posting.add(
      Array.from({ length: 5001 }, (_, n) => ({
        ...{ archiveId: '1', path: `f${n}`, newFolders: 0 },
        ...{ hashtype: 'sha1', hashsum: '0'.repeat(40) },
      })),
    );
    expect(await site.service.find('half')).toBeUndefined();
    await site.service.sweep();
    await site.queue.idle();
    expect(await site.tables.files(1, 0, 1)).toHaveLength(1);
    await site.database.sequelize.query(`UPDATE pacifica_cart SET created = ${Date.now() - 3_700_000}`);
    await site.service.sweep();
    await site.queue.idle();
    expect(await site.tables.files(1, 0, 1)).toEqual([]);
    expect(await site.tables.get(1)).toBeUndefined();
  });

  it('a bundle that was whole when the process died is not made again', async () => {
    await startFar();
    const files = site.lay(3, 100, 1000);
    site.queue.paused = true;
    await site.post('whole', files, { bundle: true });
    const id = site.queue.noted[0] ?? '';
    await site.service.handler(id, { attempt: 1, signal: new AbortController().signal });
    expect((await site.service.find('whole'))?.status).toBe('ready');
    const bundle = join(site.volume, id, 'whole.tar');
    const { ino } = statSync(bundle);
    await site.database.sequelize.query(`UPDATE pacifica_cart SET status = 'bundling' WHERE id = ${id}`);
    far.opened.length = 0;
    await site.service.handler(id, { attempt: 2, signal: new AbortController().signal });
    expect((await site.service.find('whole'))?.status).toBe('ready');
    expect(far.opened).toEqual([]);
    expect(statSync(bundle).ino).toBe(ino);
  });
});

describe('a list of thousands of files', () => {
  const list = (count: number): object[] =>
    Array.from({ length: count }, (_, n) => ({ id: 1, path: `f${n}`, hashtype: 'sha1', hashsum: '' }));

  it('keeps its order', async () => {
    await start();
    site.queue.paused = true;
    expect(await site.post('many', list(10_002))).toBe(201);
    expect((await site.service.find('many'))?.filesTotal).toBe(10_002);
    const paths: string[] = [];
    for (let from = 0; from < 10_002; from += 2000) {
      for (const { path } of await site.tables.files(1, from, 2000)) paths.push(path);
    }
    expect(paths).toEqual(Array.from({ length: 10_002 }, (_, n) => `f${n}`));
  });

  it('leaves nothing when its last one is refused', async () => {
    await start();
    // more than is stored at a time, so that the first of it was
    expect(await site.post('many', [...list(8000), { id: 1 }])).toBe(400);
    expect(await site.tables.files(1, 0, 1)).toEqual([]);
    expect(await site.tables.get(1)).toBeUndefined();
  });
});

describe('deletion', () => {
  it('stops the work at once and leaves nothing', async () => {
    await startFar();
    const files = site.lay(50, 1000, 1000);
    let wake: () => void = () => undefined;
    const asleep = new Promise<void>((resolve) => (wake = resolve));
    far.beforeOpen = async () => (far.opened.length > 10 ? asleep : undefined);
    await site.post('unwanted', files);
    await until('the work is under way', () => far.opened.length > 10);
    const removed = fetch(`${site.server.url}/unwanted`, { method: 'DELETE' });
    await until('it is not seen any more', async () => (await site.service.find('unwanted')) === undefined);
    wake();
    expect((await removed).status).toBe(200);
    expect(far.opened.length).toBeLessThan(16);
    expect(readdirSync(site.volume)).toEqual([]);
    expect(await site.tables.known([Number(site.queue.noted[0])])).toEqual(new Set());
  });

  it('by another process is noticed by the one that works on it', async () => {
    await startFar({ settings: { concurrency: 1 } });
    const files = site.lay(200, 1000);
    far.beforeOpen = () => sleep(20);
    await site.post('elsewhere', files);
    await until('the work is under way', () => far.opened.length > 2);
    await site.another().service.remove('elsewhere');
    await site.queue.idle();
    expect(far.opened.length).toBeLessThan(150);
    expect(readdirSync(site.volume)).toEqual([]);
    expect(site.queue.errors).toEqual([]);
  });

  it('of a cart that is posted again goes by itself', async () => {
    await start();
    const files = site.lay(3, 100, 1000);
    await site.post('twice', files);
    expect(await site.end('twice')).toBe('ready');
    await site.post('twice', files.slice(0, 1));
    expect(await site.end('twice')).toBe('ready');
    const id = (await site.service.find('twice'))?.id ?? 0;
    await until('the first one is gone', () => readdirSync(site.volume).length === 2);
    expect(readdirSync(site.volume).sort()).toEqual([String(id), 'cartuids']);
    expect(readdirSync(join(site.volume, 'cartuids/twice/f'))).toEqual(['0']);
  });
});

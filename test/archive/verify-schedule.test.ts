import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { ArchiveVerifier } from '../../src/archive/verify.js';
import { VerifySchedule } from '../../src/archive/verify-schedule.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { parseDailyWindow } from '../../src/lib/daily-window.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { ArchiveFiles } from '../../src/storage/database/archive-files.js';
import { VerifyRuns } from '../../src/storage/database/archive-verify.js';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { piecesOf } from '../support/streams.js';
import { removeFolder, temporaryFolder } from '../support/temporary-folder.js';
import { until } from '../support/until.js';

const HOUR = 3_600_000;
const at = (hour: number, minute = 0): Date => new Date(2030, 5, 15, hour, minute);

describe('a part of each day', () => {
  test.each([
    ['22:00-06:00', at(21, 59), undefined],
    ['22:00-06:00', at(22), 8 * HOUR],
    ['22:00-06:00', at(5, 30), HOUR / 2],
    ['22:00-06:00', at(6), undefined],
    ['02:00-04:30', at(3), 1.5 * HOUR],
    ['02:00-04:30', at(4, 30), undefined],
    ['00:00-24:00', at(13), 11 * HOUR],
  ])('%s at %s', (text, now, left) => {
    expect(parseDailyWindow(text).left(now)).toBe(left);
  });

  test.each(['', 'night', '22-06', '25:00-06:00', '22:60-06:00', '06:00-06:00', '24:00-06:00'])(
    '%j is none',
    (text) => {
      expect(() => parseDailyWindow(text)).toThrow('is not a part of the day');
    },
  );
});

describe('verifying by schedule', () => {
  let folder: string;
  let database: Database;
  let runs: VerifyRuns;
  let backend: PosixBackend;
  let tables: ArchiveFiles;
  let logged: string[];
  let schedules: VerifySchedule[];

  beforeEach(async () => {
    folder = await temporaryFolder();
    database = await Database.open(`sqlite://${join(folder, 'test.db')}`);
    await syncSchema(database);
    runs = new VerifyRuns(database);
    tables = new ArchiveFiles(database);
    backend = new PosixBackend(join(folder, 'archive'), { useId2filename: false });
    logged = [];
    schedules = [];
    const fail = (error: unknown): never => {
      throw error;
    };
    const archive = new LocalArchive({ backend, records: { tables, checksum: 'sha256', onProblem: fail } });
    for (const id of [1, 2, 3]) await archive.put(parseArchiveId(id), piecesOf(Buffer.alloc(100_000, id)));
    await archive.close();
    await rm(join(folder, 'archive/2'));
  });

  afterEach(async () => {
    for (const schedule of schedules) await schedule.stop();
    await database.close();
    await removeFolder(folder);
  });

  function schedule(options: { window?: string; intervalMs?: number; rate?: number } = {}): VerifySchedule {
    const made = new VerifySchedule({
      verifier: new ArchiveVerifier({ backend, tables, runs }),
      runs,
      window: parseDailyWindow(options.window ?? '00:00-24:00'),
      intervalMs: options.intervalMs ?? 1_000_000,
      rate: options.rate,
      log: {
        info: (_data, text) => logged.push(text),
        error: (data, text) => logged.push(`${text} ${JSON.stringify(data)}`),
      },
    });
    schedules.push(made);
    return made;
  }

  const ended = (): Promise<boolean> =>
    until('the end of the round', async () => (await runs.find('schedule'))?.ended != null);
  const value = (of: VerifySchedule, name: string): number | undefined =>
    of.metrics().find((metric) => metric.name === name)?.samples[0]?.value;

  test('reads all files once a round; damage goes to log, metric and table', async () => {
    const one = schedule();
    await one.tick();
    await ended();
    await one.stop();
    expect(logged).toEqual([
      expect.stringMatching(/^a file of the archive is damaged .*"id":"2","reason":"missing"/),
      'the whole archive is verified',
    ]);
    expect(value(one, 'pacifica_archive_verified_files_total')).toBe(3);
    expect(value(one, 'pacifica_archive_verified_bytes_total')).toBe(200_000);
    expect(value(one, 'pacifica_archive_damage_total')).toBe(1);
    expect(await runs.knownDamage()).toMatchObject([{ id: '2', reason: 'missing' }]);

    // the next round is not due, then it is
    const other = schedule();
    await other.tick();
    await other.stop();
    expect(value(other, 'pacifica_archive_verified_files_total')).toBe(0);
    const due = schedule({ intervalMs: 0 });
    await due.tick();
    await until('the next round', () => value(due, 'pacifica_archive_verified_files_total') === 3);
  });

  test('does nothing outside of its time', async () => {
    const closed = schedule({ window: '02:00-03:00' });
    await closed.tick(at(12));
    await closed.stop();
    expect(await runs.find('schedule')).toBeUndefined();
  });

  test('is stopped, and gone on with by another process, but not while somebody is at it', async () => {
    const first = schedule({ rate: 100_000 });
    await first.tick();
    await until('the beginning', async () => (await runs.find('schedule')) !== undefined);
    const second = schedule();
    await second.tick();
    await second.stop();
    expect(value(second, 'pacifica_archive_verified_files_total')).toBe(0);
    await first.stop();
    const third = schedule();
    await third.tick(new Date(Date.now() + 61_000));
    await ended();
    expect(await runs.find('schedule')).toMatchObject({ files: 3, damaged: 1 });
  });
});

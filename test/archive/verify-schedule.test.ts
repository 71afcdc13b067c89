import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { ArchiveVerifier } from '../../src/archive/verify.js';
import { VerifySchedule } from '../../src/archive/verify-schedule.js';
import { type Jobs, openJobQueue } from '../../src/jobs/jobs.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { parseDailyWindow } from '../../src/lib/daily-window.js';
import type { JobHandler, JobKind } from '../../src/lib/job-queue.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { ArchiveFiles } from '../../src/storage/database/archive-files.js';
import { VerifyRuns } from '../../src/storage/database/archive-verify.js';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { silent } from '../support/log.js';
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
  let queues: Jobs[];

  beforeEach(async () => {
    folder = await temporaryFolder();
    database = await Database.open(`sqlite://${join(folder, 'test.db')}`);
    await syncSchema(database);
    runs = new VerifyRuns(database);
    tables = new ArchiveFiles(database);
    backend = new PosixBackend(join(folder, 'archive'), { useId2filename: false });
    logged = [];
    queues = [];
    const fail = (error: unknown): never => {
      throw error;
    };
    const archive = new LocalArchive({ backend, records: { tables, checksum: 'sha256', onProblem: fail } });
    for (const id of [1, 2, 3]) await archive.put(parseArchiveId(id), piecesOf(Buffer.alloc(100_000, id)));
    await archive.close();
    await rm(join(folder, 'archive/2'));
  });

  afterEach(async () => {
    vi.useRealTimers();
    for (const queue of queues) await queue.stop();
    await database.close();
    await removeFolder(folder);
  });

  /** What a process has that verifies. */
  async function start(options: { window?: string; intervalMs?: number; rate?: number } = {}) {
    const handlers = new Map<JobKind, JobHandler>();
    const queue = await openJobQueue({
      database,
      url: '',
      handlers,
      lockLifetimeMs: 2000,
      concurrency: 1,
      work: true,
      log: silent,
    });
    queues.push(queue);
    const schedule = new VerifySchedule({
      verifier: new ArchiveVerifier({ backend, tables, runs }),
      runs,
      queue,
      window: parseDailyWindow(options.window ?? '00:00-24:00'),
      intervalMs: options.intervalMs ?? 1_000_000,
      rate: options.rate,
      log: {
        info: (_data, text) => logged.push(text),
        error: (data, text) => logged.push(`${text} ${JSON.stringify(data)}`),
      },
    });
    handlers.set('verify', schedule.handler);
    await queue.start();
    return { schedule, queue };
  }

  const ended = (): Promise<boolean> =>
    until('the end of the round', async () => (await runs.find('schedule'))?.ended != null);
  const value = (of: VerifySchedule, name: string): number | undefined =>
    of.metrics().find((metric) => metric.name === name)?.samples[0]?.value;

  test('reads all files once a round; damage goes to log, metric and table', async () => {
    const { schedule, queue } = await start();
    await schedule.tick();
    await ended();
    await until('the end of the job', () => queue.counts.get('verify')?.succeeded === 1);
    expect(await queue.admin.show('verify', 'schedule')).toMatchObject({ state: 'completed', failures: 0 });
    expect(logged).toEqual([
      expect.stringMatching(/^a file of the archive is damaged .*"id":"2","reason":"missing"/),
      'the whole archive is verified',
    ]);
    expect(value(schedule, 'pacifica_archive_verified_files_total')).toBe(3);
    expect(value(schedule, 'pacifica_archive_verified_bytes_total')).toBe(200_000);
    expect(value(schedule, 'pacifica_archive_damage_total')).toBe(1);
    expect(await runs.knownDamage()).toMatchObject([{ id: '2', reason: 'missing' }]);

    // the next round is not due: no job, and one that was put a moment too late reads nothing
    await schedule.tick();
    expect(await queue.admin.show('verify', 'schedule')).toMatchObject({ state: 'completed' });
    await queue.add('verify', 'schedule');
    await until('its end', () => queue.counts.get('verify')?.succeeded === 2);
    expect(value(schedule, 'pacifica_archive_verified_files_total')).toBe(3);
    // then it is
    await queue.stop();
    const due = await start({ intervalMs: 0 });
    await due.schedule.tick();
    await until('the next round', () => value(due.schedule, 'pacifica_archive_verified_files_total') === 3);
  });

  test('does nothing outside of its time, though there is a job', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: at(12) });
    const { schedule, queue } = await start({ window: '02:00-03:00' });
    await schedule.tick();
    expect((await queue.admin.list({})).total).toBe(0);
    await queue.add('verify', 'schedule');
    await until('its end', () => queue.counts.get('verify')?.succeeded === 1);
    expect(await runs.find('schedule')).toBeUndefined();
  });

  test('one process at a time is at it; stopped, it is gone on with by another one', async () => {
    const first = await start({ rate: 100_000 });
    await first.schedule.tick();
    await until('the first file', () => (value(first.schedule, 'pacifica_archive_verified_files_total') ?? 0) > 0);
    const second = await start();
    await second.schedule.tick();
    await first.queue.stop();
    expect(first.queue.counts.get('verify')).toMatchObject({ started: 1, handedBack: 1 });
    await ended();
    expect(await runs.find('schedule')).toMatchObject({ files: 3, damaged: 1 });
    // each file was read by one of them
    const files = [first, second].map(({ schedule }) => value(schedule, 'pacifica_archive_verified_files_total') ?? 0);
    expect(files[0]).toBeLessThan(3);
    expect((files[0] ?? 0) + (files[1] ?? 0)).toBe(3);
    expect(second.queue.counts.get('verify')?.started).toBe(1);
  });

  test('is tried again, with back-off, when the archive is not there', async () => {
    await rename(join(folder, 'archive'), join(folder, 'unmounted'));
    const { schedule, queue } = await start();
    await schedule.tick();
    const job = await until('a failed try', async () => {
      const shown = await queue.admin.show('verify', 'schedule');
      return shown.failures > 0 && shown.nextRunAt !== undefined && shown;
    });
    expect(job.error).toContain('there are records of files, but there is no storage');
    await rename(join(folder, 'unmounted'), join(folder, 'archive'));
    await ended();
    expect(await runs.find('schedule')).toMatchObject({ files: 3, damaged: 1 });
  });
});

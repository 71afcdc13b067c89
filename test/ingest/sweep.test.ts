import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { groupOf } from '../../src/ingest/parts.js';
import type { IngestService } from '../../src/ingest/service.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { processMark } from '../../src/lib/process-mark.js';
import type { IngestJob } from '../../src/storage/database/ingest-jobs.js';
import { bundle, INGEST_SETTINGS, type IngestSite, startIngest } from '../support/ingest.js';
import { piecesOf } from '../support/streams.js';
import { until } from '../support/until.js';

let site: IngestSite;
beforeEach(async () => {
  site = await startIngest();
});
afterEach(async () => {
  vi.useRealTimers();
  await site.close();
});

/** The mark of a process of this machine that ran and runs no more. */
function deadMark(): string {
  const file = fileURLToPath(new URL('../../src/lib/process-mark.ts', import.meta.url));
  const script = `import { processMark } from ${JSON.stringify(file)}; process.stdout.write(processMark())`;
  return execFileSync(process.execPath, ['--import', 'tsx/esm', '--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
}

/** What a process leaves behind that is killed while a bundle comes in. */
async function halfUpload(id: number, process: string): Promise<void> {
  await site.store.insert({ id, kind: 'upload', user: 'root' }, { runId: `run-${id}`, process });
  const draft = await site.archive.drafts.create(groupOf(id), '0');
  await draft.write(Buffer.from('half of it'));
  await draft.finish(0);
  await site.store.addMembers(id, `run-${id}`, [{ position: 0, path: 'data/x', size: 10, mtime: 0 }]);
}

describe('an upload whose server was killed', () => {
  it('on this machine: FAILED at once, its files gone', async () => {
    await halfUpload(7, deadMark());
    await site.service.sweep();
    const state = await site.state(7);
    expect(state).toMatchObject({ state: 'FAILED', task: 'UPLOADING', complete: true });
    expect(state.exception).toContain('upload interrupted');
    expect(await site.leftovers()).toEqual([]);
    expect(await site.store.membersAfter(7, -1)).toEqual([]);
    await expect(site.service.retry(7)).rejects.toThrow('has no data any more');
  });

  it('on another machine: FAILED when it gave no sign of life for half a minute', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    await halfUpload(7, 'ffffffffffff.1.1');
    await site.service.sweep();
    vi.advanceTimersByTime(29_000);
    await site.service.sweep();
    expect((await site.state(7)).state).toBe('OK');
    await site.store.beat(7, 'run-7');
    await site.service.sweep();
    vi.advanceTimersByTime(29_000);
    await site.service.sweep();
    expect((await site.state(7)).state).toBe('OK');
    vi.advanceTimersByTime(2000);
    await site.service.sweep();
    expect((await site.state(7)).state).toBe('FAILED');
    expect(await site.leftovers()).toEqual([]);
  });

  it('that only seemed dead, and goes on sending, changes nothing any more', async () => {
    let resume: () => void = () => undefined;
    const paused = new Promise<void>((resolve) => (resume = resolve));
    const tar = bundle({ a: 'a', b: 'b'.repeat(20_000) });
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield* piecesOf(tar.subarray(0, 12_000), 1000);
      await paused;
      yield* piecesOf(tar.subarray(12_000), 1000);
    }
    const reception = site.service.receive(slow(), { user: 'root' });
    const job = await until('the job', async () => (await site.store.list({ limit: 1 }))[0]);
    const other = { runId: 'other', process: processMark() };
    expect(await site.store.takeOver(job, other)).toBeDefined();
    await site.store.update(job.id, 'other', { phase: 'failed', state: 'FAILED', complete: true, exception: 'dead' });
    resume();
    expect((await reception).record).toMatchObject({ state: 'FAILED', exception: 'dead' });
    await site.another().sweep();
    await site.purge();
    expect(await site.leftovers()).toEqual([]);
    expect(await site.visible()).toEqual([]);
  });
});

it('leaves an upload alone that this process receives', async () => {
  let resume: () => void = () => undefined;
  const paused = new Promise<void>((resolve) => (resume = resolve));
  const tar = bundle({ a: 'a' });
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield tar.subarray(0, 1000);
    await paused;
    yield tar.subarray(1000);
  }
  const reception = site.service.receive(slow(), { user: 'root' });
  await until('the job', async () => (await site.store.list({ limit: 1 })).length > 0);
  await site.service.sweep();
  await site.another().sweep();
  await site.purge();
  resume();
  const { record } = await reception;
  expect(record).toMatchObject({ state: 'OK' });
  await site.run(record.job_id);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true });
});

describe('a job that nobody works on', () => {
  /** Takes a bundle in while the queue is down. */
  async function unqueued(): Promise<{ id: number; service: IngestService; asked: string[]; mend: () => void }> {
    let down = true;
    const asked: string[] = [];
    const away = new PacificaError('unavailable', 'the queue is down');
    const service = site.another({
      queue: {
        add: () => Promise.reject(away),
        ensure: async (kind, ids, unfinished) => {
          if (kind !== 'ingest') return;
          if (down) throw away;
          asked.push(...(await unfinished(ids)));
        },
        retries: () => Promise.resolve(undefined),
      },
    });
    await service.sweep();
    const { record } = await service.receive(piecesOf(bundle({ a: 'a' })), { user: 'root' });
    expect(record).toMatchObject({ state: 'OK' });
    return { id: record.job_id, service, asked, mend: () => (down = false) };
  }

  it('is put on the queue again: at the first look, then when nothing happens for a minute', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { id } = await unqueued();
    await site.service.sweep();
    expect(site.ensured()).toEqual([String(id)]);
    vi.advanceTimersByTime(30_000);
    await site.service.sweep();
    expect(site.ensured()).toHaveLength(1);
    vi.advanceTimersByTime(31_000);
    await site.service.sweep();
    expect(site.ensured()).toHaveLength(2);
    await site.run(id);
    await site.another().sweep();
    expect(site.ensured()).toHaveLength(2);
  });

  it('is put on the queue once that is back, by the process that could not', async () => {
    const { id, service, asked, mend } = await unqueued();
    await expect(service.sweep()).rejects.toThrow('the queue is down');
    mend();
    await service.sweep();
    expect(asked).toEqual([String(id)]);
    await service.sweep();
    expect(asked).toHaveLength(1);
  });

  it('is not looked for where all is well: a new job has just been put, a finished one needs none', async () => {
    await site.service.sweep();
    const { record } = await site.service.receive(piecesOf(bundle({ a: 'a' })), { user: 'root' });
    await site.service.sweep();
    expect(site.ensured()).toEqual([]);
    // between the reading of its row and the answer of the queue it is done
    const next = site.another({
      queue: {
        add: () => Promise.resolve(),
        ensure: async (kind, ids, unfinished) => {
          if (kind !== 'ingest') return;
          expect(ids).toEqual([String(record.job_id)]);
          await site.run(record.job_id);
          expect(await unfinished(ids)).toEqual([]);
        },
        retries: () => Promise.resolve(undefined),
      },
    });
    await next.sweep();
    expect(await site.state(record.job_id)).toMatchObject({ complete: true });
  });
});

it('fault 25: the data of failed jobs goes when its time is up; good jobs leave none', async () => {
  const { record } = await site.service.receive(
    piecesOf(bundle({ a: 'a' }, { entries: (all) => all.filter(({ value }) => value !== 10) })),
    { user: 'root' },
  );
  await site.run(record.job_id);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'FAILED' });
  await site.purge();
  expect(await site.leftovers()).not.toEqual([]);
  const impatient = site.another({
    settings: { ...INGEST_SETTINGS, keepFailed: -1000 },
  });
  await site.purge(impatient);
  expect(await site.leftovers()).toEqual([]);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'FAILED' });
});

it('data that can not be removed now is removed later, and holds up no other', async () => {
  const failed: number[] = [];
  for (const name of ['a', 'b']) {
    const tar = bundle({ [name]: name }, { entries: (all) => all.filter(({ value }) => value !== 10) });
    const { record } = await site.service.receive(piecesOf(tar), { user: 'root' });
    await site.run(record.job_id);
    failed.push(record.job_id);
  }
  const impatient = site.another({ settings: { ...INGEST_SETTINGS, keepFailed: -1000 } });
  // a folder where the metadata was: nothing that the removal of a file removes
  const [first = 0, second = 0] = failed;
  const path = join(site.folder, 'ingest', `${first}.json`);
  await rm(path);
  await mkdir(path);
  await expect(site.purge(impatient)).rejects.toMatchObject({ code: 'unavailable' });
  expect(await site.service.list({ limit: 2 })).toMatchObject([
    { record: { job_id: second }, kept: false },
    { record: { job_id: first }, kept: true },
  ]);
  await rmdir(path);
  await site.purge(impatient);
  expect(await site.leftovers()).toEqual([]);
});

it.each<[string, () => Promise<unknown>]>([
  ['the job that looks for them', () => site.purge()],
  ['pacifica ingest purge', () => site.purgeBefore(0)],
])('drafts and metadata that no job needs are removed, those of others are not, by %s', async (_what, purge) => {
  const { drafts } = site.archive;
  for (const group of ['ingest-4711', 'somebody-else']) {
    const draft = await drafts.create(group, '0');
    await draft.write(Buffer.from('x'));
    await draft.finish(0);
  }
  const { record } = await site.service.receive(piecesOf(bundle({ a: 'a' })), { user: 'root' });
  await writeFile(join(site.folder, 'ingest', '4711.json'), '[]');
  await purge();
  expect((await drafts.groups()).sort()).toEqual([groupOf(record.job_id), 'somebody-else']);
  expect(await readdir(join(site.folder, 'ingest'))).toEqual([`${record.job_id}.json`]);
  await site.run(record.job_id);
  expect(await site.archive.status(parseArchiveId(1))).toMatchObject({ size: 1 });
});

describe('a job that makes no progress', () => {
  it('is told to be stuck, with what it waits for, though it is tried again and again', async () => {
    const { ids, metadata } = site.catalog;
    const down = { check: () => Promise.reject(new PacificaError('unavailable', 'policy is down')) };
    const service = site.another({ catalog: { ids, metadata, policy: down } });
    const { record } = await service.receive(piecesOf(bundle({ a: 'a' })), { user: 'root' });
    const jobId = record.job_id;
    await expect(site.run(jobId, service)).rejects.toThrow('policy is down');
    expect(await service.state(jobId)).toMatchObject({ state: 'OK', exception: 'waiting: policy is down' });
    const before = await service.job(jobId);
    const patient = site.another({ settings: { ...INGEST_SETTINGS, stuckAfter: 60_000 } });
    await site.database.sequelize
      .getQueryInterface()
      .bulkUpdate('pacifica_ingest_job', { progressed: before.progressed - 60_000 }, { id: jobId });
    await expect(site.run(jobId, service)).rejects.toThrow('policy is down');
    const state = await patient.state(jobId);
    expect(state).toMatchObject({ state: 'OK', task: 'Policy Validation', complete: false });
    expect(state.exception).toMatch(/^stuck: no progress since 2\d{3}-[-0-9 :.]+ UTC; waiting: policy is down$/);
    expect((await patient.list({ limit: 1 }))[0]).toMatchObject({ record: { job_id: jobId }, stuck: true });

    const lines: { job: string; msg: string }[] = [];
    const stream = { write: (line: string) => lines.push(JSON.parse(line) as { job: string; msg: string }) };
    const watching = site.another({
      settings: { ...INGEST_SETTINGS, stuckAfter: 60_000 },
      log: pino({ level: 'warn' }, stream),
    });
    await watching.sweep();
    await watching.sweep();
    const told = lines.filter(({ msg }) => msg === 'this ingest job makes no progress');
    expect(told).toMatchObject([{ kind: 'ingest', job: String(jobId), exception: 'waiting: policy is down' }]);

    await site.run(jobId);
    expect(await patient.state(jobId)).toMatchObject({ state: 'OK', complete: true, exception: '' });
    expect((await patient.list({ limit: 1 }))[0]).toMatchObject({ record: { job_id: jobId }, stuck: false });
  });

  it('is not stuck while bytes come in whose number nobody knows', async () => {
    const tar = bundle({ 'f.bin': Buffer.alloc(1_000_000, 'f') });
    async function* slow(): AsyncGenerator<Buffer> {
      yield tar.subarray(0, 1000);
      const before = (await newest()).progressed;
      yield tar.subarray(1000, 2000);
      await until('a sign of progress', async () => (await newest()).progressed > before);
      yield tar.subarray(2000);
    }
    const newest = async (): Promise<IngestJob> => {
      const [job] = await site.store.list({ limit: 1 });
      if (job === undefined) throw new Error('no job');
      return job;
    };
    expect((await site.service.receive(slow(), { user: 'root' })).record).toMatchObject({ state: 'OK' });
  });
});

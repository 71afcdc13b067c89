import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RemoteArchive } from '../../src/archive/remote-archive.js';
import { archiveApp } from '../../src/daemon/archive.js';
import type { IngestService } from '../../src/ingest/service.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { startApp } from '../support/app.js';
import { bundle, type IngestSite, startIngest } from '../support/ingest.js';
import { silent } from '../support/log.js';
import { collect, piecesOf } from '../support/streams.js';
import { startServer, type TestServer } from '../support/server.js';
import { filesBelow } from '../support/tree.js';
import { until } from '../support/until.js';

// the archive is another process, reached by HTTP; files wait in a spool of ours until their ids are known

let site: IngestSite;
let server: TestServer;
let remote: RemoteArchive;
let service: IngestService;
beforeEach(async () => {
  site = await startIngest();
  const app = archiveApp(
    { service: 'archive', log: silent, debug: false },
    { archive: site.archive, writeOnce: false },
  );
  server = await startApp(app);
  remote = new RemoteArchive({ url: server.url, spool: join(site.folder, 'spool'), retryBudgetMs: 100 });
  service = site.another({ archive: remote });
});
afterEach(async () => {
  await remote.close();
  await server.close();
  await site.close();
});

const FILES = { 'a/one': 'one', 'a/big': Buffer.alloc(700_000, 'big'), empty: '' };

async function receive(): Promise<number> {
  const { record } = await service.receive(piecesOf(bundle(FILES, { hashtype: 'md5' })), { user: 'root' });
  return record.job_id;
}

it('a bundle goes through, with the times of its members', async () => {
  const jobId = await receive();
  expect(await site.visible()).toEqual([]);
  await site.run(jobId, service);
  expect(await site.state(jobId)).toMatchObject({ state: 'OK', task_percent: '100.00000', exception: '' });
  for (const { _id, name, subdir } of await site.catalog.metadata.files({ transaction: jobId })) {
    const file = await site.archive.open(parseArchiveId(_id));
    const path = (subdir === '' ? name : `${subdir}/${name}`) as keyof typeof FILES;
    expect((await collect(file.stream())).equals(Buffer.from(FILES[path]))).toBe(true);
    expect(file.status.mtimeMs).toBe(1_480_428_545_000);
    await file.close();
  }
  expect(await site.visible()).toHaveLength(3);
  expect(await filesBelow(join(site.folder, 'spool'))).toEqual([]);
});

it('a failure at the end leaves nothing visible', async () => {
  const jobId = await receive();
  const { ids, policy, metadata } = site.catalog;
  const refusing = site.another({
    archive: remote,
    catalog: {
      ids,
      policy,
      metadata: {
        validate: (entries) => metadata.validate(entries),
        files: (query) => metadata.files(query),
        ingest: () => Promise.reject(new PacificaError('invalid', 'no')),
      },
    },
  });
  await site.run(jobId, refusing);
  expect(await site.state(jobId)).toMatchObject({ state: 'FAILED', exception: 'no' });
  expect(await site.visible()).toEqual([]);
  await service.retry(jobId);
  await site.run(jobId, service);
  expect(await site.state(jobId)).toMatchObject({ state: 'OK' });
  expect(await site.visible()).toHaveLength(3);
});

it('an archive that is down is waited for', async () => {
  const jobId = await receive();
  const gone = new RemoteArchive({ url: 'http://127.0.0.1:9', spool: join(site.folder, 'spool'), retryBudgetMs: 100 });
  const down = site.another({ archive: gone });
  await expect(site.run(jobId, down)).rejects.toMatchObject({ code: 'unavailable' });
  const state = await site.state(jobId);
  expect(state).toMatchObject({ state: 'OK', task: 'ingest files', complete: false });
  expect(state.exception).toMatch(/^waiting: can not reach the archive/);
  await gone.close();
  await site.run(jobId, service);
  expect(await site.state(jobId)).toMatchObject({ state: 'OK', complete: true });
  expect(await site.visible()).toHaveLength(3);
});

/** An archive that takes no byte of a file before it is told to. */
async function startHolding(): Promise<TestServer & { sender: RemoteArchive; open: () => void; asked: () => number }> {
  const archive = archiveApp(
    { service: 'archive', log: silent, debug: false },
    { archive: site.archive, writeOnce: false },
  ).callback();
  const waiting: (() => void)[] = [];
  let asked = 0;
  let isOpen = false;
  const server = await startServer((req, res) => {
    const answer = (): void => void archive(req, res);
    if (req.method !== 'PUT' || isOpen) return answer();
    asked += 1;
    waiting.push(answer);
  });
  const sender = new RemoteArchive({ url: server.url, spool: join(site.folder, 'spool'), retryBudgetMs: 100 });
  return {
    ...server,
    sender,
    asked: () => asked,
    open() {
      isOpen = true;
      for (const go of waiting) go();
    },
    async close() {
      await sender.close();
      await server.close();
    },
  };
}

it('percent moves while a single file is sent: a large one takes longer than a job may without being told stuck', async () => {
  const holding = await startHolding();
  const sending = site.another({ archive: holding.sender });
  const files = { large: Buffer.alloc(16 * 1024 * 1024, 'large') };
  const { record } = await sending.receive(piecesOf(bundle(files)), { user: 'root' });
  const run = site.run(record.job_id, sending);
  // as much as the buffers of the connection take
  await until('the percent to move', async () => {
    const { task, task_percent } = await site.state(record.job_id);
    return task === 'ingest files' && Number(task_percent) > 50;
  });
  expect(Number((await site.state(record.job_id)).task_percent)).toBeLessThan(100);
  holding.open();
  await run;
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true });
  await holding.close();
});

it('a run that sends a file when the state is set by hand stops sending it, so that it never appears', async () => {
  const holding = await startHolding();
  const sending = site.another({ archive: holding.sender });
  const files = { large: Buffer.alloc(16 * 1024 * 1024, 'large') };
  const { record } = await sending.receive(piecesOf(bundle(files)), { user: 'root' });
  const { job_id: jobId } = record;
  let ended = false;
  const run = site.run(jobId, sending).finally(() => (ended = true));
  await until('the file to be on its way', () => holding.asked() === 1);
  await service.setState(jobId, { state: 'FAILED', exception: 'takes too long' });
  await site.run(jobId, service);
  expect(await site.state(jobId)).toMatchObject({ state: 'FAILED', exception: 'takes too long' });
  await until('the run to stop', () => ended);
  await run;
  holding.open();
  expect(await site.visible()).toEqual([]);
  await holding.close();
});

it('files are sent several at a time', async () => {
  const archive = archiveApp(
    { service: 'archive', log: silent, debug: false },
    { archive: site.archive, writeOnce: false },
  ).callback();
  const waiting: (() => void)[] = [];
  const together = await startServer((req, res) => {
    const answer = (): void => void archive(req, res);
    if (req.method !== 'PUT') return answer();
    waiting.push(answer);
    // nobody is let in before there are four
    if (waiting.length >= 4) for (const go of waiting.splice(0)) go();
  });
  const crowd = new RemoteArchive({ url: together.url, spool: join(site.folder, 'spool'), retryBudgetMs: 100 });
  const files = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`f${index}`, `file ${index}`]));
  const sending = site.another({ archive: crowd });
  const { record } = await sending.receive(piecesOf(bundle(files)), { user: 'root' });
  await site.run(record.job_id, sending);
  expect(await site.state(record.job_id)).toMatchObject({ state: 'OK', complete: true });
  expect(await site.visible()).toHaveLength(8);
  await crowd.close();
  await together.close();
}, 30_000);

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StateRecord } from '../../src/ingest/state.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { PacificaError } from '../../src/lib/errors.js';
import { type BundleFile, makeBundle } from '../support/bundle.js';
import { curl } from '../support/curl.js';
import { bundle, fileEntry, incomingFile, type IngestSite, startIngest, TRANSACTION } from '../support/ingest.js';
import { overriding } from '../support/overriding.js';
import { collect } from '../support/streams.js';
import { until } from '../support/until.js';

let site: IngestSite;
/** users that policy was asked about, and users that metadata was told */
const users: string[] = [];
const tellers: string[] = [];

beforeAll(async () => {
  site = await startIngest({
    work: true,
    settings: { metadataLimit: 100_000, bundleLimit: 8 * 1024 ** 2 },
    wrap: ({ catalog }) => ({
      catalog: {
        ...catalog,
        policy: {
          async check(metadata, user) {
            users.push(user);
            await catalog.policy.check(metadata, user);
          },
        },
        metadata: overriding(catalog.metadata, {
          async ingest(metadata, user) {
            tellers.push(user);
            await catalog.metadata.ingest(metadata, user);
          },
        }),
      },
    }),
  });
});
afterAll(() => site.close());

async function upload(body: Uint8Array, ...args: string[]): Promise<{ status: number; record: StateRecord }> {
  const answer = await curl([...args, '--data-binary', '@-', `${site.url}/upload`], body);
  expect(answer.exitCode).toBe(0);
  return { status: answer.status, record: answer.json() as StateRecord };
}

/** Fetches the files of a job as metadata and archive have them. @returns sha1 by path */
async function archived(jobId: number): Promise<Map<string, string>> {
  const sums = new Map<string, string>();
  for (const file of await site.catalog.metadata.files({ transaction: jobId })) {
    const stored = await site.archive.open(parseArchiveId(file._id));
    const bytes = await collect(stored.stream());
    await stored.close();
    expect(bytes.length).toBe(file.size);
    sums.set(
      `${file.subdir === '' ? '' : `${file.subdir}/`}${file.name}`,
      createHash('sha1').update(bytes).digest('hex'),
    );
  }
  return sums;
}

const TREE: BundleFile[] = [
  { path: 'a/b/foo.txt', content: 'foo\n' },
  { path: 'with space/ü and 日本語.txt', content: 'names' },
  { path: `${'long/'.repeat(40)}${'ü'.repeat(100)}.txt`, content: 'a long path' },
  { path: 'empty', content: '' },
  { path: 'top.bin', content: Buffer.alloc(700_000, 'top') },
];

describe('the wire', () => {
  it('says that it runs', async () => {
    const answer = await curl([`${site.url}/`]);
    expect(answer.status).toBe(200);
    expect(answer.json()).toEqual({ message: 'Pacifica Ingest Up and Running' });
  });

  it.each([
    ['first', '/ingest'],
    ['last', '/upload'],
    ['last', '/upload/'],
  ] as const)('takes a bundle made by hand, metadata.txt %s, on %s', async (metadata, path) => {
    const { file, sums } = makeBundle(site.folder, TREE, { metadata });
    const answer = await curl(['--data-binary', `@${file}`, `${site.url}${path}`]);
    expect(answer.status).toBe(200);
    expect(answer.header('Content-Type')).toMatch(/^application\/json/);
    const { job_id: jobId } = answer.json() as StateRecord;
    const state = await site.end(jobId);
    expect(state).toMatchObject({ state: 'OK', task: 'ingest metadata', task_percent: '100.00000', exception: '' });
    expect(await archived(jobId)).toEqual(sums);
  });

  it('answers with the record of the original, key by key', async () => {
    const { record } = await upload(bundle({ 'f.txt': 'f' }));
    expect(Object.keys(record)).toEqual([
      'job_id',
      'state',
      'task',
      'task_percent',
      'complete',
      'updated',
      'created',
      'exception',
    ]);
    expect(Number.isSafeInteger(record.job_id)).toBe(true);
    expect(record.task_percent).toMatch(/^[0-9]+\.[0-9]{5}$/);
    expect(record.updated).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/);
    const created = Date.parse(`${record.created.replace(' ', 'T')}Z`);
    expect(Math.abs(created - Date.now())).toBeLessThan(60_000);
    const end = await site.end(record.job_id);
    const answer = await curl([`${site.url}/get_state?job_id=${record.job_id}`]);
    expect(answer.status).toBe(200);
    expect(answer.json()).toEqual(end);
    expect((await curl([`${site.url}/get_state/${record.job_id}`])).json()).toEqual(end);
  });

  it('keeps the times of the members', async () => {
    const { record } = await upload(
      bundle({ 'f.txt': 'f' }, { members: (all) => all.map((one) => ({ ...one, mtime: 86_400 })) }),
    );
    await site.end(record.job_id);
    const [file] = await site.catalog.metadata.files({ transaction: record.job_id });
    expect((await site.archive.status(parseArchiveId(file?._id ?? 0))).mtimeMs).toBe(86_400_000);
  });

  it('hands the user of the header on, root when there is none: of an upload and of a move', async () => {
    users.length = 0;
    tellers.length = 0;
    for (const args of [[], ['-H', 'X-Http-Authed-User: 10']]) {
      const { record } = await upload(bundle({ 'f.txt': 'f' }), ...args);
      await site.end(record.job_id);
      const entry = await incomingFile(site, `moved by ${args.length}`, 'm');
      const body = Buffer.from(JSON.stringify([...TRANSACTION, entry]));
      const answer = await curl([...args, '--data-binary', '@-', `${site.url}/move`], body);
      await site.end((answer.json() as StateRecord).job_id);
    }
    expect(users).toEqual(['root', 'root', '10', '10']);
    expect(tellers).toEqual(users);
  });

  it('goes through the tasks in their order', async () => {
    const watched = await startIngest({ work: true });
    const seen: string[] = [];
    const update = watched.store.update.bind(watched.store);
    watched.store.update = async (id, run, changes) => {
      await update(id, run, changes);
      // what else is written of a job may meet a percent that was written because a step took its time
      if (changes.taskPercent === undefined) return;
      const { task, task_percent: percent } = await watched.state(id);
      const line = `${task} ${Number(percent)}`;
      if (seen.at(-1) !== line) seen.push(line);
    };
    const tasksOf = async (path: string, body: Buffer): Promise<string[]> => {
      seen.length = 0;
      await curl(['--data-binary', '@-', `${watched.url}${path}`], body);
      await until('the last task', () => seen.at(-1) === 'ingest metadata 100');
      return [...seen];
    };
    expect(await tasksOf('/upload', bundle({ 'f.txt': 'f' }))).toEqual([
      'UPLOADING 100',
      'open tar 0',
      'open tar 100',
      'load metadata 0',
      'load metadata 100',
      'Policy Validation 0',
      'Policy Validation 100',
      'ingest files 0',
      'ingest files 100',
      'ingest metadata 0',
      'ingest metadata 100',
    ]);
    const entry = await incomingFile(watched, 'm.txt', 'm');
    expect(await tasksOf('/move', Buffer.from(JSON.stringify([...TRANSACTION, entry])))).toEqual([
      'UPLOADING 100',
      'load metadata 0',
      'load metadata 100',
      'Policy Validation 0',
      'Policy Validation 100',
      'move files 0',
      'move files 100',
      'ingest metadata 0',
      'ingest metadata 100',
    ]);
    await watched.close();
  });

  it('answers in JSON to what it does not know', async () => {
    const unknown = await curl([`${site.url}/get_state?job_id=99999`]);
    expect(unknown.status).toBe(404);
    expect(unknown.json()).toMatchObject({
      status: '404 Not Found',
      message: 'job ID 99999 does not exist.',
      traceback: '',
    });
    expect((await curl([`${site.url}/get_state?job_id=-1`])).json()).toMatchObject({
      message: 'job ID -1 does not exist.',
    });
    expect((await curl([`${site.url}/get_state?job_id=${'9'.repeat(25)}`])).status).toBe(404);
    expect((await curl([`${site.url}/nothing`])).status).toBe(404);
    for (const path of ['/get_state', '/get_state?job_id=', '/get_state?job_id=1.5', '/get_state?job_id=1&job_id=2']) {
      expect((await curl([`${site.url}${path}`])).status, path).toBe(400);
    }
    for (const path of ['/upload', '/ingest', '/move']) {
      const answer = await curl([`${site.url}${path}`]);
      expect(answer.status).toBe(405);
      expect(answer.header('Allow')).toBe('POST');
    }
  });

  it('answers HEAD of a state', async () => {
    const { record } = await upload(bundle({ 'f.txt': 'f' }));
    expect((await curl(['-I', `${site.url}/get_state?job_id=${record.job_id}`])).status).toBe(200);
    await site.end(record.job_id);
  });
});

describe('fault 26: a chunked upload', () => {
  it('is taken', async () => {
    const { record } = await upload(
      bundle({ 'f.txt': 'f' }),
      '-H',
      'Transfer-Encoding: chunked',
      '-H',
      'Content-Type:',
    );
    expect(await site.end(record.job_id)).toMatchObject({ state: 'OK', task_percent: '100.00000' });
    expect([...(await archived(record.job_id)).keys()]).toEqual(['f.txt']);
  });
});

describe('fault 29', () => {
  it('job_id=abc is 400', async () => {
    const answer = await curl([`${site.url}/get_state?job_id=abc`]);
    expect(answer.status).toBe(400);
    expect((answer.json() as { message: string }).message).toContain('"abc" is not a number');
    expect((await curl([`${site.url}/get_state/abc`])).status).toBe(400);
  });

  it.each([
    ['{}', 'not an array'],
    ['{bad', 'not an array'],
    ['[{bad}]', 'entry 1'],
    ['', 'empty'],
    ['[]', 'no file'],
    ['[1]', 'entry 1'],
    [JSON.stringify([fileEntry('x', 'x')]), 'source'],
    [JSON.stringify([{ ...fileEntry('x', 'x'), source: 'relative/x' }]), 'source'],
    [JSON.stringify([{ ...fileEntry('x', 'x'), source: '/x', size: -1 }]), 'size'],
  ])('POST /move %s is 400 and leaves no job', async (body, message) => {
    const before = await site.store.list({ limit: 1 });
    const answer = await curl(['--data-binary', '@-', `${site.url}/move`], Buffer.from(body));
    expect(answer.status).toBe(400);
    expect((answer.json() as { message: string }).message).toContain(message);
    expect(await site.store.list({ limit: 1 })).toEqual(before);
  });

  it('percent moves with the bytes while they come', async () => {
    const tar = bundle({ 'f.bin': Buffer.alloc(1_000_000, 'f') });
    const sent = request(`${site.url}/upload`, { method: 'POST', headers: { 'Content-Length': tar.length } });
    const before = (await site.store.list({ limit: 1 }))[0]?.id ?? 0;
    sent.write(tar.subarray(0, 500_000));
    const jobId = await until(
      'the job',
      async () => (await site.store.list({ limit: 1 })).find(({ id }) => id > before)?.id,
    );
    const state = await until('percent', async () => {
      const now = await site.state(jobId);
      return Number(now.task_percent) > 0 && now;
    });
    expect(state).toMatchObject({ state: 'OK', task: 'UPLOADING', complete: false });
    expect(Number(state.task_percent)).toBeCloseTo((100 * 500_000) / tar.length, 0);
    sent.end(tar.subarray(500_000));
    expect(await site.end(jobId)).toMatchObject({ state: 'OK' });
  });
});

describe('a body that is no bundle', () => {
  it.each([
    ['text', Buffer.from('x=1')],
    ['nothing', Buffer.alloc(0)],
    ['a gzipped tar', execFileSync('gzip', ['-c'], { input: bundle({ 'f.txt': 'f' }) })],
    ['half a tar', bundle({ 'f.txt': 'f'.repeat(5000) }).subarray(0, 3000)],
  ])('%s: 200 with a job that is FAILED', async (_what, body) => {
    const { status, record } = await upload(body);
    expect(status).toBe(200);
    expect(record).toMatchObject({ state: 'FAILED', task: 'open tar', complete: true });
    expect(record.exception).toMatch(/not a tar|cut short/);
    expect(await site.state(record.job_id)).toEqual(record);
  });

  it('is read to its end, so that a client that only sends gets its answer', async () => {
    const body = Buffer.concat([Buffer.from('no tar'), Buffer.alloc(50_000_000)]);
    const script = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1])
c.request('POST', '/upload', body=sys.stdin.buffer.read())
r = c.getresponse()
print(r.status, r.read().decode())`;
    const limited = await startIngest();
    const out = execFileAsync('python3', ['-c', script, new URL(limited.url).host], body);
    expect(await out).toMatch(/^200 .*"state":\s*"FAILED"/);
    await limited.close();
  });

  it.each([
    ['a bundle over the limit, length known', [], 'bundle_limit'],
    ['a bundle over the limit, chunked', ['-H', 'Transfer-Encoding: chunked'], 'bundle_limit'],
  ])('%s: 413 with the record of the job', async (_what, args, hint) => {
    const { status, record } = await upload(bundle({ 'f.bin': Buffer.alloc(9 * 1024 ** 2) }), ...args);
    expect(status).toBe(413);
    expect(record).toMatchObject({ status: '413 Payload Too Large', traceback: '', state: 'FAILED', complete: true });
    expect(record.exception).toContain(hint);
    expect(await site.state(record.job_id)).toMatchObject({ state: 'FAILED' });
  });

  it('metadata over the limit: 413', async () => {
    const { status, record } = await upload(
      bundle({ f: 'f' }, { entries: (all) => [...all, { destinationTable: 'x', value: 'v'.repeat(100_000) }] }),
    );
    expect(status).toBe(413);
    expect(record.exception).toContain('metadata_limit');
    const answer = await curl(['--data-binary', '@-', `${site.url}/move`], Buffer.alloc(200_000, ' '));
    expect(answer.status).toBe(413);
  });

  it('leaves nothing behind', async () => {
    expect(await site.leftovers()).toEqual([]);
  });
});

it('a client that hangs up: FAILED, its files gone', async () => {
  const tar = bundle({ 'f.bin': Buffer.alloc(1_000_000, 'f') });
  const sent = request(`${site.url}/upload`, { method: 'POST', headers: { 'Content-Length': tar.length } });
  sent.on('error', () => undefined);
  const before = (await site.store.list({ limit: 1 }))[0]?.id ?? 0;
  sent.write(tar.subarray(0, 500_000));
  const jobId = await until(
    'the job',
    async () => (await site.store.list({ limit: 1 })).find(({ id }) => id > before)?.id,
  );
  await until('some of it on disk', async () => (await site.leftovers()).length > 0);
  sent.destroy();
  const state = await site.end(jobId);
  expect(state).toMatchObject({ state: 'FAILED', task: 'UPLOADING' });
  expect(state.exception).toMatch(/^upload interrupted after \d+ bytes/);
  await until('nothing left', async () => (await site.leftovers()).length === 0);
});

it('no job id to be had: 503 with Retry-After, the body is not read', async () => {
  const down = await startIngest({
    wrap: ({ catalog }) => ({
      catalog: {
        ...catalog,
        ids: { take: () => Promise.reject(new PacificaError('bad-gateway', 'unique ids are broken')) },
      },
    }),
  });
  const big = join(down.folder, 'big');
  writeFileSync(big, Buffer.alloc(50_000_000));
  for (const path of ['upload', 'ingest', 'move']) {
    const answer = await curl(['-H', 'Expect:', '--data-binary', `@${big}`, `${down.url}/${path}`]);
    expect(answer.status).toBe(503);
    expect(answer.header('Retry-After')).toBe('5');
    expect((answer.json() as { message: string }).message).toContain('no job id can be had now');
  }
  expect(await down.store.list({ limit: 1 })).toEqual([]);
  await down.close();
});

describe('fault 21: many uploads at once', () => {
  it('have ids of their own, and the right bytes under each', async () => {
    const tars = Array.from({ length: 12 }, (_, index) =>
      bundle({ [`${index}/a`]: `a${index}`, [`${index}/b`]: `b${index}` }),
    );
    const records = await Promise.all(tars.map(async (tar) => (await upload(tar)).record));
    expect(new Set(records.map(({ job_id: id }) => id)).size).toBe(tars.length);
    const ids = new Set<number>();
    for (const [index, { job_id: jobId }] of records.entries()) {
      expect(await site.end(jobId)).toMatchObject({ state: 'OK' });
      for (const { _id } of await site.catalog.metadata.files({ transaction: jobId })) ids.add(_id);
      expect(await archived(jobId)).toEqual(
        new Map(
          ['a', 'b'].map((name) => [`${index}/${name}`, createHash('sha1').update(`${name}${index}`).digest('hex')]),
        ),
      );
    }
    expect(ids.size).toBe(2 * tars.length);
  });
});

it('a move over the wire takes the file in', async () => {
  const entry = await incomingFile(site, 'sub/x.txt', 'moved');
  const answer = await curl(
    ['--data-binary', '@-', `${site.url}/move`],
    Buffer.from(JSON.stringify([...TRANSACTION, entry])),
  );
  expect(answer.status).toBe(200);
  const { job_id: jobId } = answer.json() as StateRecord;
  expect(await site.end(jobId)).toMatchObject({ state: 'OK', task: 'ingest metadata' });
  expect([...(await archived(jobId)).keys()]).toEqual(['sub/x.txt']);
  expect(() => readFileSync(join(site.incoming, 'sub/x.txt'))).toThrow('ENOENT');
});

async function execFileAsync(program: string, args: string[], input: Buffer): Promise<string> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  return (await collect(child.stdout)).toString();
}

import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { IngestJobs } from '../../src/storage/database/ingest-jobs.js';
import { startArchive } from '../support/archive-service.js';
import { makeBundle, sha1 } from '../support/bundle.js';
import { pacifica } from '../support/cli.js';
import { curl } from '../support/curl.js';
import { cartEnd, jobEnd, type JobState, postCart } from '../support/main-job.js';
import { type Daemon, startServe } from '../support/serve.js';
import { startServer } from '../support/server.js';

// A setting that is read and checked counts for nothing before it has reached the service that it is for.

const home = mkdtempSync(join(tmpdir(), 'pacifica-settings-'));
let daemon: Daemon;
afterEach(() => daemon.stop());
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Uploads files. @returns how it ended */
async function upload(files: Record<string, string>, ...args: string[]): Promise<JobState> {
  const { file } = makeBundle(
    home,
    Object.entries(files).map(([path, content]) => ({ path, content })),
  );
  const answer = await curl([...args, '--data-binary', `@${file}`, `${daemon.urls.ingest ?? ''}/upload`]);
  return jobEnd(daemon, (answer.json() as JobState).job_id);
}

it('[ingest] limits', async () => {
  daemon = await startServe(join(home, 'limits'), {
    PACIFICA_INGEST_BUNDLE_LIMIT: '100000',
    PACIFICA_INGEST_MEMBER_LIMIT: '3',
    PACIFICA_INGEST_PATH_LIMIT: '20',
    PACIFICA_INGEST_METADATA_LIMIT: '2000',
  });
  expect(await upload({ a: 'a', b: 'b', c: 'c' })).toMatchObject({ state: 'OK', exception: '' });
  expect((await upload({ large: 'x'.repeat(100_000) })).exception).toContain('bundle_limit');
  expect((await upload({ a: 'a', b: 'b', c: 'c', d: 'd' })).exception).toContain('member_limit');
  expect((await upload({ 'a/path-that-is-long': 'a' })).exception).toContain('path_limit');
  const move = JSON.stringify([{ destinationTable: 'x', value: 'v'.repeat(2000) }]);
  const answer = await curl(['--data-binary', '@-', `${daemon.urls.ingest ?? ''}/move`], Buffer.from(move));
  expect(answer.status).toBe(413);
  expect(answer.text()).toContain('metadata_limit');
});

it('[ingest] auth_header and default_user say who it is, and policy is told under the same name', async () => {
  const told: unknown[] = [];
  const policy = await startServer((req, res) => {
    told.push(req.headers['x-remote-user']);
    req.resume();
    res.setHeader('Content-Type', 'application/json').end('{"status": "success"}');
  });
  daemon = await startServe(join(home, 'users'), {
    PACIFICA_INGEST_AUTH_HEADER: 'X-Remote-User',
    PACIFICA_INGEST_DEFAULT_USER: 'guest',
    PACIFICA_POLICY_INGEST_URL: `${policy.url}/ingest`,
  });
  for (const args of [[], ['-H', 'X-Http-Authed-User: nobody'], ['-H', 'X-Remote-User: dave']]) {
    expect(await upload({ a: 'a' }, ...args)).toMatchObject({ state: 'OK', exception: '' });
  }
  expect(told).toEqual(['guest', 'guest', 'dave']);
  await policy.close();
});

it('[ingest] default_hash is what members are hashed by as they come in', async () => {
  const data = join(home, 'hash');
  daemon = await startServe(data, { PACIFICA_INGEST_DEFAULT_HASH: 'sha384' });
  const { file } = makeBundle(home, [{ path: 'a', content: 'a' }], {
    // policy refuses it, so that what is known of its file is kept and its own hash was not asked for yet
    change: (entries) => entries.filter((entry) => !('value' in entry && entry.value === 54)),
  });
  const answer = await curl(['--data-binary', `@${file}`, `${daemon.urls.ingest ?? ''}/upload`]);
  const job = await jobEnd(daemon, (answer.json() as JobState).job_id);
  expect(job).toMatchObject({ state: 'FAILED', task: 'Policy Validation' });
  const database = await Database.open(`sqlite://${join(data, 'pacifica.db')}`);
  try {
    const members = await new IngestJobs(database).membersAfter(job.job_id, -1);
    expect(members).toMatchObject([{ path: 'data/a', hashtype: 'sha384' }]);
  } finally {
    await database.close();
  }
});

it('[ingest] keep_failed is in seconds', async () => {
  const data = join(home, 'keep');
  daemon = await startServe(data);
  const { file } = makeBundle(home, [{ path: 'a', content: 'a' }], {
    change: (entries) => entries.filter((entry) => !('value' in entry && entry.value === 54)),
  });
  const answer = await curl(['--data-binary', `@${file}`, `${daemon.urls.ingest ?? ''}/upload`]);
  const { job_id: job } = await jobEnd(daemon, (answer.json() as JobState).job_id);
  const purge = async (env: NodeJS.ProcessEnv): Promise<string> =>
    (await pacifica(['ingest', 'purge', '--data-dir', data], { env })).text();
  // as milliseconds its time is up when the command looks
  expect(await purge({ PACIFICA_INGEST_KEEP_FAILED: '100' })).toBe('');
  expect(await purge({ PACIFICA_INGEST_KEEP_FAILED: '0' })).toBe(`${job}\n`);
});

it.runIf(process.platform === 'linux')('[cartd] transfer_size is what a copy reads at a time', async () => {
  daemon = await startServe(join(home, 'transfer'), {
    PACIFICA_CARTD_COPY: 'always',
    PACIFICA_CARTD_TRANSFER_SIZE: '4096',
  });
  const content = Buffer.alloc(16 * 1024 * 1024, 'x');
  expect((await curl(['-T', '-', `${daemon.urls.archive ?? ''}/1`], content)).status).toBe(201);
  // calls that read, of the whole process
  const reads = (): number => Number(/syscr: (\d+)/.exec(readFileSync(`/proc/${daemon.pid}/io`, 'utf8'))?.[1]);
  const before = reads();
  await postCart(daemon, 'copied', {
    fileids: [{ id: '1', path: 'x', hashtype: 'sha1', hashsum: sha1(content) }],
  });
  expect(await cartEnd(daemon, 'copied')).toBe('ready');
  expect(reads() - before).toBeGreaterThan(content.length / 4096);
});

it('[cartd] concurrency is how many files of a cart are brought in at a time', async () => {
  const archive = await startArchive();
  const names = Array.from({ length: 6 }, (_, index) => String(index + 1));
  const waiting: (() => void)[] = [];
  // nobody gets a file before all six are asked for
  const gate = await startServer((req, res) => {
    const forward = async (): Promise<void> => {
      const { method = 'GET', url = '' } = req;
      const answer = await fetch(`${archive.url}${url}`, { method });
      res.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
    };
    if (req.method !== 'GET') return void forward();
    waiting.push(() => void forward());
    if (waiting.length >= names.length) for (const go of waiting) go();
  });
  daemon = await startServe(join(home, 'at-a-time'), {
    PACIFICA_ARCHIVEINTERFACE_URL: gate.url,
    PACIFICA_CARTD_CONCURRENCY: String(names.length),
  });
  for (const name of names) {
    expect((await curl(['-T', '-', `${archive.url}/${name}`], Buffer.from(name))).status).toBe(201);
  }
  await postCart(daemon, 'together', {
    fileids: names.map((name) => ({ id: name, path: name, hashtype: 'sha1', hashsum: sha1(Buffer.from(name)) })),
  });
  expect(await cartEnd(daemon, 'together', 20_000)).toBe('ready');
  await gate.close();
  await archive.close();
});

it('[cartd] volume_path and bundle_task', async () => {
  const volume = join(home, 'volume');
  daemon = await startServe(join(home, 'carts'), {
    PACIFICA_CARTD_VOLUME_PATH: volume,
    PACIFICA_CARTD_BUNDLE_TASK: 'on',
  });
  expect((await curl(['-T', '-', `${daemon.urls.archive ?? ''}/1`], Buffer.from('one'))).status).toBe(201);
  await postCart(daemon, 'bundled', {
    fileids: [{ id: '1', path: 'one', hashtype: 'sha1', hashsum: sha1(Buffer.from('one')) }],
  });
  expect(await cartEnd(daemon, 'bundled')).toBe('ready');
  expect(readlinkSync(join(volume, 'cartuids/bundled'))).toBe('../1/bundled.tar');
  expect(readdirSync(join(volume, '1'))).toContain('bundled.tar');
});

import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { makeBundle, sha1 } from '../support/bundle.js';
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

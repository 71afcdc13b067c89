import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { StateRecord } from '../../src/ingest/state.js';
import { Database } from '../../src/storage/database/database.js';
import { IngestJobs } from '../../src/storage/database/ingest-jobs.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { type CurlAnswer, curl } from '../support/curl.js';
import { databaseKinds } from '../support/databases.js';
import { bundle, incomingFile, type IngestSite, startIngest, TRANSACTION } from '../support/ingest.js';
import { collect } from '../support/streams.js';
import { until } from '../support/until.js';

// Idempotency-Key: a request that is sent again, since its answer got lost, does not ingest twice

let site: IngestSite;
beforeAll(async () => {
  site = await startIngest();
});
afterAll(() => site.close());

const BODY = bundle({ 'f.txt': 'f' });
let keys = 0;
function newKey(): string {
  keys += 1;
  return `key ${keys}`;
}

async function upload(key: string, body = BODY, ...args: string[]): Promise<CurlAnswer> {
  return curl([...args, '-H', `Idempotency-Key: ${key}`, '--data-binary', '@-', `${site.url}/upload`], body);
}

function jobOf(answer: CurlAnswer): number {
  expect(answer.status).toBe(200);
  return (answer.json() as StateRecord).job_id;
}

async function jobs(): Promise<number> {
  return (await site.store.list({ limit: 1000 })).length;
}

it('the same key: the same job, as it is by then, and no second one', async () => {
  const key = newKey();
  const first = await upload(key);
  expect(first.header('Idempotency-Replayed')).toBeUndefined();
  const count = await jobs();
  const again = await upload(key);
  expect(jobOf(again)).toBe(jobOf(first));
  expect(again.header('Idempotency-Replayed')).toBe('true');
  await site.run(jobOf(first));
  expect((await upload(key)).json()).toMatchObject({ job_id: jobOf(first), complete: true, task: 'ingest metadata' });
  expect(await jobs()).toBe(count);
  expect(jobOf(await upload(newKey()))).not.toBe(jobOf(first));
});

it('without a key every request is a job', async () => {
  const answers = [1, 2].map(() => curl(['--data-binary', '@-', `${site.url}/upload`], BODY));
  const [one, other] = await Promise.all(answers);
  expect((one?.json() as StateRecord).job_id).not.toBe((other?.json() as StateRecord).job_id);
});

it('while the first one still comes in: its job, without a byte of the second being waited for', async () => {
  const key = newKey();
  const before = (await site.store.list({ limit: 1 }))[0]?.id ?? 0;
  const headers = { 'Content-Length': BODY.length, 'Idempotency-Key': key };
  const sent = request(`${site.url}/upload`, { method: 'POST', headers });
  sent.write(BODY.subarray(0, 1000));
  const first = await until('the job', async () => {
    const newest = (await site.store.list({ limit: 1 }))[0]?.id ?? 0;
    return newest > before && newest;
  });
  const answer = await upload(key);
  expect(answer.json()).toMatchObject({ job_id: first, state: 'OK', task: 'UPLOADING', complete: false });
  sent.end(BODY.subarray(1000));
  await until('the end of the upload', async () => (await site.service.job(first)).phase === 'queued');
});

it('of a body that is not read: the connection ends with the answer, since nobody can tell where the next request begins', async () => {
  const key = newKey();
  const first = jobOf(await upload(key));
  const headers = { 'Content-Length': 2 ** 30, 'Idempotency-Key': key };
  const sent = request(`${site.url}/upload`, { method: 'POST', headers });
  sent.write(BODY.subarray(0, 1000));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  expect(JSON.parse((await collect(answer)).toString())).toMatchObject({ job_id: first });
  expect(answer.headers.connection).toBe('close');
  sent.destroy();
});

it('is free again when its upload came to nothing', async () => {
  const key = newKey();
  const broken = await upload(key, BODY.subarray(0, 1500));
  expect(broken.json()).toMatchObject({ state: 'FAILED' });
  const whole = await upload(key);
  expect(whole.json()).toMatchObject({ state: 'OK' });
  expect(jobOf(whole)).not.toBe(jobOf(broken));
  expect(jobOf(await upload(key))).toBe(jobOf(whole));
});

it('a job that failed and can be tried again is still its answer, until its data is gone', async () => {
  const key = newKey();
  const refused = bundle({ 'f.txt': 'f' }, { entries: (all) => all.filter(({ value }) => value !== 10) });
  const jobId = jobOf(await upload(key, refused));
  await site.run(jobId);
  expect((await upload(key, refused)).json()).toMatchObject({ job_id: jobId, state: 'FAILED' });
  await site.purgeBefore(Date.now() + 1000);
  expect(jobOf(await upload(key, refused))).not.toBe(jobId);
});

it('after a crash of the server while the first one came in: its job, then a new one', async () => {
  const key = newKey();
  // as a killed process leaves it: a row that somebody receives for
  const first = jobOf(await upload(key));
  const row = { phase: 'receiving', kept: false, process: 'this-machine-no-more.1.1' };
  await site.database.sequelize.getQueryInterface().bulkUpdate('pacifica_ingest_job', row, { id: first });
  expect(jobOf(await upload(key))).toBe(first);
  await site.service.setState(first, { state: 'FAILED', exception: 'the server stopped' });
  await site.run(first);
  expect(jobOf(await upload(key))).not.toBe(first);
});

it("one user's keys are not another's", async () => {
  const key = newKey();
  const first = jobOf(await upload(key, BODY, '-H', 'X-Http-Authed-User: 10'));
  expect(jobOf(await upload(key, BODY, '-H', 'X-Http-Authed-User: 11'))).not.toBe(first);
  expect(jobOf(await upload(key, BODY, '-H', 'X-Http-Authed-User: 10'))).toBe(first);
});

it('is forgotten after 30 days', async () => {
  const key = newKey();
  const first = jobOf(await upload(key));
  const age = async (days: number): Promise<void> => {
    const created = Date.now() - days * 86_400_000;
    const query = site.database.sequelize.getQueryInterface();
    await query.bulkUpdate('pacifica_ingest_job', { created }, { id: first });
    await query.bulkUpdate('pacifica_ingest_key', { created }, { job_id: first });
  };
  const kept = async (): Promise<boolean> => {
    const [rows] = await site.database.sequelize.query('SELECT job_id FROM pacifica_ingest_key');
    return (rows as { job_id: number }[]).some(({ job_id: id }) => id === first);
  };
  await age(29.9);
  expect(jobOf(await upload(key))).toBe(first);
  await site.purge();
  expect(await kept()).toBe(true);
  await age(30.1);
  await site.purge();
  expect(await kept()).toBe(false);
  expect(jobOf(await upload(key))).not.toBe(first);
});

it('holds for a move, apart from uploads', async () => {
  const key = newKey();
  const entry = await incomingFile(site, 'moved.txt', 'm');
  const body = Buffer.from(JSON.stringify([...TRANSACTION, entry]));
  const move = (): Promise<CurlAnswer> =>
    curl(['-H', `Idempotency-Key: ${key}`, '--data-binary', '@-', `${site.url}/move`], body);
  const first = jobOf(await move());
  await site.run(first);
  const again = await move();
  expect(again.json()).toMatchObject({ job_id: first, task: 'ingest metadata' });
  expect(again.header('Idempotency-Replayed')).toBe('true');
  expect(jobOf(await upload(key))).not.toBe(first);
});

it('a move that was refused leaves its key free', async () => {
  const key = newKey();
  const args = ['-H', `Idempotency-Key: ${key}`, '--data-binary', '@-', `${site.url}/move`];
  expect((await curl(args, Buffer.from('{}'))).status).toBe(400);
  const entry = await incomingFile(site, 'second.txt', 'm');
  expect((await curl(args, Buffer.from(JSON.stringify([...TRANSACTION, entry])))).status).toBe(200);
});

it.each(['a\tb', 'ü', 'x'.repeat(256)])('refuses the key %j', async (key) => {
  const count = await jobs();
  const answer = await upload(key);
  expect(answer.status).toBe(400);
  expect((answer.json() as { message: string }).message).toContain('Idempotency-Key');
  expect(await jobs()).toBe(count);
});

for (const kind of await databaseKinds()) {
  describe.skipIf(!kind.available)(`on ${kind.name}`, () => {
    it('of many requests at once, from several processes, one gets the key', async () => {
      const url = await kind.create();
      const databases = await Promise.all([1, 2, 3].map(() => Database.open(url)));
      const [first] = databases;
      if (first === undefined) throw new Error('no database');
      await syncSchema(first);
      const stores = databases.map((database) => new IngestJobs(database));
      const owners = await Promise.all(
        Array.from({ length: 10 }, (_, round) =>
          stores.map((store, index) =>
            store.insertKeyed(
              { id: 100 + 3 * round + index, kind: 'upload', user: 'root' },
              { runId: `run ${round} ${index}`, process: 'machine.1.1' },
              { key: 'k', keyedSince: 0 },
            ),
          ),
        ).flat(),
      );
      expect(new Set(owners.map((owner) => owner?.id)).size).toBe(1);
      const list = await new IngestJobs(first).list({ limit: 100 });
      expect(list.map(({ id }) => id)).toEqual([owners[0]?.id]);
      await Promise.all(databases.map((database) => database.close()));
    });
  });
}

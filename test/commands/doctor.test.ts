import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { pacifica } from '../support/cli.js';
import { startPostgres } from '../support/postgres.js';
import { startServe } from '../support/serve.js';
import { startServer } from '../support/server.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-doctor-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const postgres = await startPostgres();
afterAll(() => postgres?.stop());

interface Told {
  check: string;
  ok: boolean;
  message: string;
  remedy: string | null;
}

async function doctor(env: NodeJS.ProcessEnv, flags: string[] = []): Promise<{ code: number | null; told: Told[] }> {
  const result = await pacifica(['doctor', '--json', '--data-dir', dir, ...flags], { env });
  return { code: result.code, told: result.lines() as Told[] };
}

const find = (told: Told[], check: string): Told | undefined => told.find((one) => one.check === check);

describe('doctor', () => {
  it('finds all well where daemons run, and leaves nothing behind', async () => {
    const daemon = await startServe(dir);
    try {
      const env = Object.fromEntries(
        Object.entries(daemon.urls).map(([name, url]) => [`PACIFICA_${name.toUpperCase()}_URL`, url]),
      );
      const before = readdirSync(dir).sort();
      const { code, told } = await doctor({ ...env, PACIFICA_ARCHIVEINTERFACE_URL: daemon.urls.archive });
      expect(told.filter(({ ok }) => !ok)).toEqual([]);
      expect(code).toBe(0);
      const checks = ['node', 'open files', 'database', 'schema', 'jobs', 'storage cartd.volume_path', 'archive.url'];
      for (const check of [...checks, 'archiveinterface.url', 'clock']) expect(find(told, check), check).toBeDefined();
      expect(find(told, 'storage cartd.volume_path')?.message).toMatch(
        /can be written and synced, [\d.]+ [KMGTP]iB free$/,
      );
      expect(readdirSync(dir).sort()).toEqual(before);
    } finally {
      await daemon.stop();
    }
  });

  it('says what to do about each thing that is not', async () => {
    writeFileSync(join(dir, 'file'), '');
    const { code, told } = await doctor({
      PACIFICA_CARTD_VOLUME_PATH: join(dir, 'file'),
      PACIFICA_UNIQUEID_URL: 'http://me:hidden@127.0.0.1:1',
    });
    expect(code).toBe(1);
    expect(find(told, 'database')).toMatchObject({
      ok: false,
      remedy: expect.stringContaining('pacifica db sync') as string,
    });
    expect(find(told, 'storage cartd.volume_path')?.ok).toBe(false);
    expect(find(told, 'storage ingest.volume_path')?.message).toContain('there is no folder');
    expect(find(told, 'uniqueid.url')).toMatchObject({
      ok: false,
      message: expect.stringContaining('connection refused') as string,
    });
    // nobody asked for those: this machine need not run them
    expect(find(told, 'policy.ingest_url')).toBeUndefined();
    for (const { ok, remedy } of told) if (!ok) expect(remedy).not.toBe(null);
    expect(JSON.stringify(told)).not.toContain('hidden');
  });

  it('sees a database that is behind', async () => {
    expect((await pacifica(['db', 'sync', '--data-dir', dir])).code).toBe(0);
    const env = { PACIFICA_JOBS_URL: 'postgres://me:hidden@127.0.0.1:1/jobs' };
    const { told } = await doctor(env);
    expect(find(told, 'schema')?.ok).toBe(true);
    expect(find(told, 'jobs')?.ok).toBe(false);
    expect(JSON.stringify(told)).not.toContain('hidden');
  });

  it.skipIf(postgres === undefined)('makes nothing in a PostgreSQL', async () => {
    const url = (await postgres?.createDatabase()) ?? '';
    const env = { PACIFICA_DATABASE_URL: url };
    expect((await pacifica(['db', 'sync'], { env })).code).toBe(0);
    const database = await Database.open(url);
    const before = await database.tables();
    const { told } = await doctor({ ...env, PACIFICA_JOBS_URL: url });
    expect(find(told, 'jobs')).toMatchObject({ ok: true, message: 'the queue answers' });
    expect(await database.tables()).toEqual(before);
    await database.close();
  });

  it('sees a clock that is off', async () => {
    const server = createServer((_req, res) => {
      res.sendDate = false;
      res.setHeader('Date', new Date(Date.now() + 3600_000).toUTCString());
      res.end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { told } = await doctor({ PACIFICA_UNIQUEID_URL: `http://127.0.0.1:${port}` });
    server.close();
    expect(find(told, 'clock')).toMatchObject({
      ok: false,
      message: expect.stringMatching(/^uniqueid.url is 3\d{3} s off$/) as string,
    });
  });

  it('prints a line for each thing', async () => {
    mkdirSync(join(dir, 'cart'));
    const { code, stdout } = await pacifica(['doctor', '--data-dir', dir]);
    expect(code).toBe(1);
    const lines = stdout.toString().trimEnd().split('\n');
    expect(lines.every((line) => /^(ok {2}|FAIL) {2}\S/.test(line))).toBe(true);
    expect(lines.join('\n')).toMatch(/^FAIL {2}database +there is no database .*\. Run "pacifica db sync"/m);
  });
});

describe('config check', () => {
  const check = (ini: string, env: NodeJS.ProcessEnv = {}) => {
    writeFileSync(join(dir, 'site.ini'), ini);
    return pacifica(['config', 'check', '--config', join(dir, 'site.ini'), '--data-dir', dir], { env });
  };

  it('is content with a file of an original', async () => {
    const { code, text } = await check('[cartd]\nvolume_path = /tmp\n[celery]\nbroker_url = pyamqp://\n');
    expect(code).toBe(0);
    expect(text()).toMatch(/^unused .*site.ini, line 4, \[celery\] broker_url is not used: jobs need no broker here\n/);
    expect(text()).toContain('No mistakes found.');
  });

  it('names all mistakes at once: 2', async () => {
    const { code, text } = await check(
      '[serve]\nhsot = x\ncart_port = many\n[cartd]\nlru_purge = perhaps\n[jobs]\nurl = redis://h\n',
    );
    expect(code).toBe(2);
    expect(text()).toMatch(/^bad value .*line 3, \[serve\] cart_port: "many" is not valid here/m);
    expect(text()).toMatch(/^bad value .*line 5, \[cartd\] lru_purge: "perhaps" is not valid here/m);
    expect(text()).toMatch(/^bad value .*line 7, \[jobs\] url: jobs can not be queued on redis:\/\/: use postgres/m);
    expect(text()).toMatch(/^unknown .*line 2, \[serve\] hsot: there is no such setting: did you mean host\?/m);
  });

  it('names what does not answer: 5, with mistakes: 1', async () => {
    const server = await startServer((_req, res) => res.end('{}'));
    const ini = `[uniqueid]\nurl = ${server.url}\n[metadata]\nurl = http://127.0.0.1:1\n[database]\nurl = postgres://me:hidden@127.0.0.1:1/d\n`;
    const away = await check(ini);
    const queue = await check('', { PACIFICA_JOBS_URL: 'postgres://127.0.0.1:1/jobs' });
    const both = await check(`${ini}[serve]\nhsot = x\n`);
    await server.close();
    expect(away.code).toBe(5);
    expect(away.text()).toMatch(
      /^unreachable .*metadata.url: can not reach metadata.url at http:\/\/127.0.0.1:1: connection refused/m,
    );
    expect(away.text()).toMatch(/^unreachable .*database.url: can not open the database postgres:\/\/me:\*\*\*@127/m);
    expect(queue.code).toBe(5);
    expect(queue.text()).toMatch(/^unreachable .*jobs.url: can not open the database postgres:\/\/127.0.0.1:1\/jobs/m);
    expect(away.text()).not.toContain('uniqueid');
    expect(away.text()).not.toContain('hidden');
    expect(both.code).toBe(1);
  });
});

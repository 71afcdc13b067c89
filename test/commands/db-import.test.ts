import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Sequelize } from 'sequelize';
import sqlite3 from 'sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CliResult, pacifica } from '../support/cli.js';
import { databaseKinds } from '../support/databases.js';
import { startDaemon } from '../support/serve.js';

// the originals' tables as peewee makes them (their columns: the end of the wire's description)
const TABLES = (serial: string): string[] => [
  `CREATE TABLE cart (id ${serial}, cart_uid VARCHAR(255) NOT NULL, bundle_path VARCHAR(255) NOT NULL, bundle BOOLEAN,
    creation_date TIMESTAMP NOT NULL, updated_date TIMESTAMP NOT NULL, deleted_date TIMESTAMP, status TEXT NOT NULL,
    error TEXT NOT NULL)`,
  `CREATE TABLE file (id ${serial}, cart_id INTEGER NOT NULL, file_name VARCHAR(255) NOT NULL,
    bundle_path VARCHAR(255) NOT NULL, hash_type VARCHAR(255), hash_value VARCHAR(255), status TEXT NOT NULL,
    error TEXT NOT NULL)`,
  `CREATE TABLE ingeststate (id BIGINT PRIMARY KEY, state VARCHAR(255) NOT NULL, task VARCHAR(255) NOT NULL,
    task_percent NUMERIC(10, 5) NOT NULL, exception TEXT NOT NULL, created TIMESTAMP NOT NULL,
    updated TIMESTAMP NOT NULL, complete BOOLEAN NOT NULL)`,
  'CREATE TABLE uniqueindex (id VARCHAR(255) PRIMARY KEY, "index" BIGINT NOT NULL)',
];
const SHA1 = 'f572d396fae9206628714fb2ce00f72e94f2258f'; // of "hello\n"

const kinds = await databaseKinds();

/** Asked at once: it is tried for half a minute, while the other tests run. */
const AWAY = 'postgresql://me:hidden@127.0.0.1:1/uniqueid';
const away = pacifica(['db', 'import', '--service', 'uniqueid', '--from', AWAY, '--debug']);

describe.each(kinds)('db import between $name databases', (kind) => {
  const { name, available } = kind;
  const create = (): Promise<string> => kind.create();
  let dir: string;
  let from: string;
  let original: Sequelize;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    if (!available) return;
    dir = mkdtempSync(join(tmpdir(), 'pacifica-import-'));
    const url = await create();
    const sqlite = name === 'SQLite';
    original = sqlite
      ? new Sequelize({ dialect: 'sqlite', dialectModule: sqlite3, storage: new URL(url).pathname, logging: false })
      : new Sequelize(url, { dialect: 'postgres', logging: false });
    // as the originals write it: peewee's scheme, four slashes for an absolute path
    from = sqlite ? `sqliteext:///${new URL(url).pathname}` : url.replace('postgres:', 'postgresql:');
    env = { PACIFICA_DATA_DIR: join(dir, 'data'), PACIFICA_DATABASE_URL: await create() };
    for (const table of TABLES(sqlite ? 'INTEGER PRIMARY KEY' : 'SERIAL PRIMARY KEY')) await original.query(table);
  });
  afterEach(async () => {
    if (!available) return;
    await original.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const run = (service: string, ...flags: string[]): Promise<CliResult> =>
    pacifica(['db', 'import', '--service', service, '--from', from, '--json', ...flags], { env });

  async function counts(service: string, ...flags: string[]): Promise<{ counts: unknown; warnings: string }> {
    const result = await run(service, ...flags);
    const { stderr } = result;
    expect(result.code, stderr).toBe(0);
    const [{ imported, present, left_out }] = result.lines() as [Record<string, number>];
    return { counts: [imported, present, left_out], warnings: stderr };
  }

  it.skipIf(!available)('takes the counters of unique ids, and never sets one back', async () => {
    await original.query(`INSERT INTO uniqueindex VALUES ('file', 5001), ('upload_job', 77)`);
    await pacifica(['db', 'sync'], { env });
    expect((await counts('uniqueid', '--dry-run')).counts).toEqual([2, 0, 0]);
    expect((await counts('uniqueid')).counts).toEqual([2, 0, 0]);
    expect((await counts('uniqueid')).counts).toEqual([0, 2, 0]);
    const daemon = await startDaemon(['catalog', 'serve', '--port', '0'], env);
    try {
      const getid = async (mode: string): Promise<unknown> =>
        (await fetch(`${daemon.urls.catalog ?? ''}/getid?range=1&mode=${mode}`)).json();
      expect(await getid('file')).toEqual({ startIndex: 5001, endIndex: 5001 });
      expect(await getid('upload_job')).toEqual({ startIndex: 77, endIndex: 77 });
    } finally {
      await daemon.stop();
    }
    await original.query(`UPDATE uniqueindex SET "index" = 100 WHERE id = 'upload_job'`);
    await original.query(`UPDATE uniqueindex SET "index" = 17 WHERE id = 'file'`);
    expect((await counts('uniqueid')).counts).toEqual([1, 1, 0]);
  });

  it.skipIf(!available)('takes how jobs ended, and leaves those that are under way', async () => {
    await original.query(`INSERT INTO ingeststate VALUES
      (1234, 'OK', 'ingest metadata', 100, '', '2018-01-25 16:54:50', '2018-01-25 17:00:32.25', ${name === 'SQLite' ? 1 : 'true'}),
      (1235, 'FAILED', 'ingest files', 12.5, 'some trace', '2018-01-26 16:54:50', '2018-01-26 16:54:51', ${name === 'SQLite' ? 0 : 'false'}),
      (1236, 'OK', 'open tar', 0, '', '2018-01-26 16:54:50', '2018-01-26 16:54:51', ${name === 'SQLite' ? 0 : 'false'})`);
    const first = await counts('ingest');
    expect(first.counts).toEqual([2, 0, 1]);
    expect(first.warnings).toContain('left out job 1236: it is under way (open tar)');
    await original.query(`UPDATE ingeststate SET state = 'FAILED' WHERE id = 1236`);
    expect((await counts('ingest')).counts).toEqual([1, 2, 0]);
    const daemon = await startDaemon(['ingest', 'serve', '--port', '0'], env);
    try {
      const url = daemon.urls.ingest ?? '';
      expect(await (await fetch(`${url}/get_state?job_id=1234`)).json()).toMatchObject({
        ...{ job_id: 1234, state: 'OK', task: 'ingest metadata', complete: true, exception: '' },
        ...{ created: '2018-01-25 16:54:50.000000', updated: '2018-01-25 17:00:32.250000' },
      });
      expect(await (await fetch(`${url}/get_state?job_id=1235`)).json()).toMatchObject({
        ...{ state: 'FAILED', task: 'ingest files', exception: 'some trace', complete: true },
      });
      // numbers of new jobs come after those
      const answer = await fetch(`${url}/ingest`, { method: 'POST', body: 'no tar' });
      expect(((await answer.json()) as { job_id: number }).job_id).toBe(1237);
    } finally {
      await daemon.stop();
    }
  });

  it.skipIf(!available)('takes carts that are ready, whose files lie on the volume', async () => {
    const volume = join(env.PACIFICA_DATA_DIR ?? '', 'cart');
    const put = (path: string): void => {
      mkdirSync(dirname(join(volume, path)), { recursive: true });
      writeFileSync(join(volume, path), 'hello\n');
    };
    const cart = (id: number, uid: string, status = 'ready', bundle = 'NULL', deleted = 'NULL'): Promise<unknown> =>
      original.query(`INSERT INTO cart VALUES (${id}, '${uid}', 'x', ${bundle}, '2026-11-20 11:53:47.554431',
        '2026-11-20 11:54:16.010908', ${deleted}, '${status}', '')`);
    let files = 0;
    const file = (cartId: number, path: string): Promise<unknown> =>
      original.query(
        `INSERT INTO file VALUES (${(files += 1)}, ${cartId}, '91014', '${path}', 'sha1', '${SHA1}', 'staged', '')`,
      );
    await cart(2, 'again');
    await cart(7, 'again');
    await file(7, '/a/b.txt');
    await file(7, 'c.txt');
    put('7/again/a/b.txt');
    put('7/again/c.txt');
    await cart(8, 'gone', 'ready', 'NULL', `'2026-11-20 12:00:00'`);
    await cart(9, 'staging', 'staging');
    await cart(10, 'lost');
    await file(10, 'x');
    await cart(11, 'packed', 'ready', name === 'SQLite' ? '1' : 'true');
    await file(11, 'd.txt');
    put('11/packed/d.txt');
    execFileSync('tar', ['cf', join(volume, '11/packed.tar'), '-C', join(volume, '11'), 'packed']);

    await pacifica(['db', 'sync'], { env });
    expect((await counts('cartd', '--dry-run')).counts).toEqual([2, 0, 1]);
    const first = await counts('cartd');
    expect(first.counts).toEqual([2, 0, 1]);
    expect(first.warnings).toContain(`left out cart lost: ${join(volume, '10/lost/x')} is not there`);
    expect((await counts('cartd')).counts).toEqual([0, 2, 1]);

    const daemon = await startDaemon(['cart', 'serve', '--port', '0'], env);
    try {
      const url = daemon.urls.cart ?? '';
      const get = async (uid: string): Promise<string[]> => {
        const tar = join(dir, `${uid}.tar`);
        writeFileSync(tar, Buffer.from(await (await fetch(`${url}/${uid}?filename=top.tar`)).arrayBuffer()));
        mkdirSync(join(dir, uid));
        execFileSync('tar', ['xf', tar, '-C', join(dir, uid)]);
        return execFileSync('find', ['.', '-type', 'f'], { cwd: join(dir, uid), encoding: 'utf8' })
          .trim()
          .split('\n')
          .sort();
      };
      expect(await get('again')).toEqual(['./top/a/b.txt', './top/c.txt']);
      expect(readFileSync(join(dir, 'again/top/a/b.txt'), 'utf8')).toBe('hello\n');
      expect(await get('packed')).toEqual(['./packed/d.txt']);
      expect((await fetch(`${url}/gone`, { method: 'HEAD' })).status).toBe(404);
      // a new cart does not get the number, and the folder, of one that was taken over
      const fileids = [{ id: '1', path: 'y', hashtype: 'sha1', hashsum: SHA1 }];
      expect((await fetch(`${url}/new`, { method: 'POST', body: JSON.stringify({ fileids }) })).status).toBe(201);
      expect((await fetch(`${url}/again`, { method: 'HEAD' })).headers.get('x-pacifica-status')).toBe('ready');
      expect((await fetch(`${url}/again`, { method: 'DELETE' })).status).toBe(200);
    } finally {
      await daemon.stop();
    }
  });

  it.skipIf(!available)('names the mistake when it is the database of another service', async () => {
    await original.query('DROP TABLE ingeststate');
    const { code, stderr } = await run('ingest');
    expect(code).toBe(2);
    expect(stderr).toContain('there is no table \\"ingeststate\\"');
  });
});

it('names a database that is not there, without its password', async () => {
  const { code, stderr } = await away;
  expect(code).toBe(5);
  expect(stderr).toContain('postgres://me:***@127.0.0.1:1/uniqueid');
  expect(stderr).not.toContain('hidden');
});

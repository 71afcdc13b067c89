import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { environmentName, loadConfig } from '../../src/config/load.js';
import { settings } from '../../src/config/settings.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pacifica-config-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

async function iniFile(text: string): Promise<string> {
  const file = join(folder, 'site.ini');
  await writeFile(file, text);
  return file;
}

describe('loadConfig', () => {
  it('takes flags over environment over file over default', async () => {
    const configFile = await iniFile('[serve]\narchive_port = 1001\ncart_port = 1001\ningest_port = 1001\n');
    const env = { PACIFICA_SERVE_ARCHIVE_PORT: '1002', PACIFICA_SERVE_CART_PORT: '1002' };
    const config = await loadConfig({ flags: { 'serve.archive_port': '1003' }, configFile, env });
    expect(config.serve.archive_port).toBe(1003);
    expect(config.serve.cart_port).toBe(1002);
    expect(config.serve.ingest_port).toBe(1001);
    expect(config.serve.proxy_port).toBe(8180);
  });

  it('finds the file by PACIFICA_CONFIG, and says so when it is not there', async () => {
    const file = await iniFile('[log]\nlevel = warn\n');
    expect((await loadConfig({ env: { PACIFICA_CONFIG: file } })).log.level).toBe('warn');
    await expect(loadConfig({ env: { PACIFICA_CONFIG: `${file}x` } })).rejects.toThrow(`${file}x`);
  });

  it('reads the config/pacifica.ini of the package as the defaults themselves', async () => {
    const shipped = resolve(import.meta.dirname, '../../config/pacifica.ini');
    expect(await loadConfig({ configFile: shipped, env: {} })).toEqual(await loadConfig({ env: {} }));
    const text = await readFile(shipped, 'utf8');
    for (const [section, keys] of Object.entries(settings)) {
      for (const key of Object.keys(keys)) expect(text, `${section}.${key}`).toMatch(new RegExp(`^${key} =`, 'm'));
    }
  });

  it('keeps the three archive settings apart', async () => {
    const env = {
      PACIFICA_DATA_DIR: folder,
      PACIFICA_ARCHIVE_URL: 'http://client:1',
      PACIFICA_ARCHIVEINTERFACE_URL: 'http://services:2/',
    };
    const config = await loadConfig({ env });
    expect(config.archive.storage).toBe(`posix://${folder}/archive`);
    expect(config.archive.url).toBe('http://client:1');
    expect(config.archiveinterface.url).toBe('http://services:2');
    expect((await loadConfig({ env: { PACIFICA_ARCHIVE_URL: 'http://client:1' } })).archiveinterface.url).toBe('');
  });

  it("loads the original services' files", async () => {
    const configFile = await iniFile(`[cartd]
; Local directory to stage data
volume_path = /tmp/
lru_buffer_time = 0
bundle_task = True
transfer_size = 4 Mb

[archiveinterface]
url = http://127.0.0.1:8080/

[celery]
broker_url = pyamqp://
backend_url = rpc://

[database]
peewee_url = sqliteext:///db.sqlite3
connect_attempts = 10
connect_wait = 20
`);
    const config = await loadConfig({ configFile, env: {} });
    expect(config.cartd).toMatchObject({ volume_path: '/tmp', bundle_task: true, transfer_size: 4 * 2 ** 20 });
    expect(config.archiveinterface.url).toBe('http://127.0.0.1:8080');
    expect(config.database.url).toBe(`sqlite://${resolve('db.sqlite3')}`);
  });

  it.each([
    ['postgresql://u:p@h/d', 'postgres://u:p@h/d'],
    ['postgres://h/d', 'postgres://h/d'],
    ['sqlite:///srv/a b.db', 'sqlite:///srv/a%20b.db'],
    ['sqliteext:////srv/x.db', 'sqlite:///srv/x.db'],
  ])('understands the database URL %s', async (given, meant) => {
    expect((await loadConfig({ env: { PEEWEE_URL: given } })).database.url).toBe(meant);
  });

  it('does not cut a password at # or ;', async () => {
    const configFile = await iniFile('[database]\nurl = postgres://u:a#b;c%%40@h/d\n');
    expect((await loadConfig({ configFile, env: {} })).database.url).toBe('postgres://u:a#b;c%40@h/d');
  });

  it.each([
    [{ PACIFICA_SERVE_CART_PORT: '70000' }, 'PACIFICA_SERVE_CART_PORT: "70000" is not'],
    [{ PACIFICA_SERVE_CART_PORT: '' }, 'PACIFICA_SERVE_CART_PORT'],
    [{ PACIFICA_CARTD_TRANSFER_SIZE: '4 Xb' }, '"4 Xb" is not a size'],
    [{ PACIFICA_CARTD_LRU_PURGE: 'maybe' }, '"maybe" is not'],
    [{ PACIFICA_ARCHIVE_URL: 'ftp://x' }, 'PACIFICA_ARCHIVE_URL: "ftp://x" is not valid here (wanted: HTTP URL)'],
    [{ PACIFICA_DATABASE_URL: 'mysql://x:secret@y' }, '[database] url'],
  ])('refuses %j by name', async (env, message) => {
    await expect(loadConfig({ env })).rejects.toThrow(message);
    await expect(loadConfig({ env })).rejects.not.toThrow('secret');
  });

  it.each([
    ['key = 1\n', 'line 1'],
    ['[a]\nnonsense\n', 'line 2'],
    ['[a]\nx = 1\nX = 2\n', 'line 3: "x" stands in line 2 already'],
  ])('names file and line of a broken file', async (text, message) => {
    const configFile = await iniFile(text);
    await expect(loadConfig({ configFile, env: {} })).rejects.toThrow(`${configFile}, `);
    await expect(loadConfig({ configFile, env: {} })).rejects.toThrow(message);
  });

  it('names environment variables by section and key', () => {
    expect(environmentName('archive', 'storage')).toBe('PACIFICA_ARCHIVE_STORAGE');
  });
});

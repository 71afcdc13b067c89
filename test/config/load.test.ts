import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unreadKeys } from '../../src/config/check.js';
import { type Config, environmentName, loadConfig, readConfig } from '../../src/config/load.js';
import type { ServiceName } from '../../src/config/setting.js';
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
    ['postgresqlext+pool://u:p@h:5433/d', 'postgres://u:p@h:5433/d'],
    ['sqlite:///a b.db', `sqlite://${resolve('a b.db').replace(' ', '%20')}`],
    ['sqliteext:///db.sqlite3', `sqlite://${resolve('db.sqlite3')}`],
    ['sqliteext:////srv/x.db', 'sqlite:///srv/x.db'],
    ['sqlite+pool:////srv/x.db', 'sqlite:///srv/x.db'],
  ])("understands peewee's database URL %s", async (given, meant) => {
    expect((await loadConfig({ env: { PEEWEE_URL: given } })).database.url).toBe(meant);
  });

  it.each([
    ['sqlite:///srv/a b.db', 'sqlite:///srv/a%20b.db'],
    ['postgresql://h/d', 'postgres://h/d'],
    ['sqliteext:///db.sqlite3', `sqlite://${resolve('db.sqlite3')}`],
  ])('understands the database URL %s', async (given, meant) => {
    expect((await loadConfig({ env: { PACIFICA_DATABASE_URL: given } })).database.url).toBe(meant);
  });

  it.each([
    ['90', 90],
    ['1.5', 1.5],
    ['2h', 7200],
    ['60 days ago', 60 * 86_400],
    ['1 minute', 60],
  ])('takes the time %s', async (given, seconds) => {
    expect((await loadConfig({ env: { LRU_BUFFER_TIME: given } })).cartd.lru_buffer_time).toBe(seconds);
  });

  it.each([
    ['4 Mb', 4 * 2 ** 20],
    ['4 MB', 4e6],
    ['512K', 512 * 1024],
  ])('takes the size %s', async (given, bytes) => {
    expect((await loadConfig({ env: { TRANSFER_SIZE: given } })).cartd.transfer_size).toBe(bytes);
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
    [{ PACIFICA_DATABASE_URL: 'mysql://x:secret@y' }, 'PACIFICA_DATABASE_URL: it is not a database URL'],
    [{ LRU_BUFFER_TIME: '3 moons' }, 'LRU_BUFFER_TIME: "3 moons" is not a time span'],
    [{ LRU_BUFFER_TIME: '-1' }, 'LRU_BUFFER_TIME: "-1" is not'],
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

describe('the environment of the originals', () => {
  it.each<[string, string, (config: Config) => unknown, unknown]>([
    ['VOLUME_PATH', '/vol', (config) => [config.cartd.volume_path, config.ingest.volume_path], ['/vol', '/vol']],
    ['LRU_BUFFER_TIME', '60', (config) => config.cartd.lru_buffer_time, 60],
    ['LRU_PURGE', 'False', (config) => config.cartd.lru_purge, false],
    ['BUNDLE_TASK', 'True', (config) => config.cartd.bundle_task, true],
    ['TRANSFER_SIZE', '8 Mb', (config) => config.cartd.transfer_size, 8 * 2 ** 20],
    ['PEEWEE_URL', 'postgresql://h/d', (config) => config.database.url, 'postgres://h/d'],
    ['DATABASE_CONNECT_ATTEMPTS', '3', (config) => config.database.connect_attempts, 3],
    ['DATABASE_CONNECT_WAIT', '4', (config) => config.database.connect_wait, 4],
    ['ARCHIVE_INTERFACE_URL', 'http://a:1/', (config) => config.archiveinterface.url, 'http://a:1'],
    ['ARCHIVEINTERFACE_URL', 'http://a:2', (config) => config.archiveinterface.url, 'http://a:2'],
    ['UNIQUEID_URL', 'http://u:1', (config) => config.uniqueid.url, 'http://u:1'],
    ['POLICY_INGEST_URL', 'http://p:1/ingest', (config) => config.policy.ingest_url, 'http://p:1/ingest'],
    ['METADATA_INGEST_URL', 'http://m:1/ingest', (config) => config.metadata.ingest_url, 'http://m:1/ingest'],
    ['METADATA_URL', 'http://m:1', (config) => config.metadata.url, 'http://m:1'],
    ['METADATA_STATUS_URL', 'http://m:1/s', (config) => config.metadata.status_url, 'http://m:1/s'],
    ['METADATA_STATUS_WAIT', '2', (config) => config.metadata.status_wait, 2],
    ['METADATA_STATUS_ATTEMPTS', '9', (config) => config.metadata.status_attempts, 9],
    ['NGINX_ACCEL', 'True', (config) => config.nginx.accel, true],
    ['INGEST_AUTH_HEADER', 'X-User', (config) => config.ingest.auth_header, 'X-User'],
    ['INGEST_DEFAULT_USER', 'nobody', (config) => config.ingest.default_user, 'nobody'],
    ['PAI_PREFIX', '/srv/a b', (config) => config.archive.storage, 'posix:///srv/a%20b'],
  ])('%s works, and docs/configuration.md names it', async (name, value, read, wanted) => {
    expect(read(await loadConfig({ env: { [name]: value } }))).toEqual(wanted);
    const docs = await readFile(resolve(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
    expect(docs).toContain(`\`${name}\``);
  });

  it('takes the kind of storage from PAI_BACKEND_TYPE', async () => {
    const env = { PAI_BACKEND_TYPE: 'hpss', PAI_PREFIX: '/hsm' };
    expect((await loadConfig({ env })).archive.storage).toBe('hpss:///hsm');
  });

  it.each([
    ['CARTD_CONFIG', 'cart'],
    ['INGEST_CONFIG', 'ingest'],
    ['PROXY_CONFIG', 'proxy'],
    ['ARCHIVEINTERFACE_CONFIG', 'archive'],
  ] as const)('%s names the file of its own service', async (name, service) => {
    const file = await iniFile('[database]\nconnect_wait = 3\n');
    const waits = async (of?: ServiceName): Promise<number> =>
      (await loadConfig({ env: { [name]: file }, service: of })).database.connect_wait;
    expect(await waits(service)).toBe(3);
    expect(await waits()).toBe(3);
    expect(await waits('catalog')).toBe(20);
    await expect(loadConfig({ env: { [name]: `${file}x` }, service })).rejects.toMatchObject({ hint: `check ${name}` });
  });

  it('reads several files together, unless they contradict each other', async () => {
    const [cart, ingest] = [join(folder, 'cart.ini'), join(folder, 'ingest.ini')];
    await writeFile(cart, '[cartd]\nvolume_path = /c\n[archiveinterface]\nurl = http://a/\n');
    await writeFile(ingest, '[ingest]\nvolume_path = /i\n[archiveinterface]\nurl = http://a\n');
    const env = { CARTD_CONFIG: cart, INGEST_CONFIG: ingest };
    const config = await loadConfig({ env });
    expect([config.cartd.volume_path, config.ingest.volume_path, config.archiveinterface.url]).toEqual([
      '/c',
      '/i',
      'http://a',
    ]);
    await writeFile(ingest, '[archiveinterface]\nurl = http://b\n');
    await expect(loadConfig({ env })).rejects.toThrow(
      `${ingest}, line 2, [archiveinterface] url says something else than ${cart}, line 4`,
    );
    expect((await loadConfig({ env, service: 'ingest' })).archiveinterface.url).toBe('http://b');
  });
});

describe("CherryPy's files", () => {
  const text = `[global]
log.screen: True
log.access_file: '/var/log/access.log'
log.error_file: "/var/log/error.log"
server.socket_host: '0.0.0.0'
server.socket_port: 8051

[/]
request.dispatch: cherrypy.dispatch.MethodDispatcher()
tools.response_headers.on: True
tools.response_headers.headers: [('Content-Type', 'application/json')]
`;

  it('give address, port and log files', async () => {
    const cherrypyFile = await iniFile(text);
    const config = await loadConfig({ cherrypyFile, service: 'proxy', env: {} });
    expect(config.serve).toMatchObject({ host: '0.0.0.0', proxy_port: 8051, cart_port: 8081 });
    expect(config.log).toMatchObject({ access_file: '/var/log/access.log', error_file: '/var/log/error.log' });
    const flags = { 'serve.proxy_port': '1' };
    expect((await loadConfig({ cherrypyFile, flags, service: 'proxy', env: {} })).serve.proxy_port).toBe(1);
  });

  it('are taken as --config too, as the original proxy has it, and their other keys are known', async () => {
    const { config, files } = await readConfig({ configFile: await iniFile(text), service: 'proxy', env: {} });
    expect(config.serve.proxy_port).toBe(8051);
    const unread = unreadKeys(files, {});
    expect(unread.map(({ kind }) => kind)).toEqual(['unused', 'unused', 'unused', 'unused']);
    expect(unread[0]?.message).toMatch(/line 2, \[global\] log.screen is not used: it is CherryPy's own$/);
  });
});

describe('unreadKeys', () => {
  it('names what nobody reads, with the word that was probably meant', async () => {
    const configFile = await iniFile(`[serve]
hsot = x
[cartd]
default_user = y
[carted]
copy = auto
[celery]
broker_url = pyamqp://
[hpss]
user = hpss.unix
[database]
peewee_url = sqlite:///x
`);
    const env = { PACIFICA_SERVE_HSOT: '1', PACIFICA_CONFIG: configFile, PACIFICA_AC_BASH_SETUP_PATH: '/x' };
    const { files } = await readConfig({ env });
    const told = unreadKeys(files, env).map(({ kind, message, hint }) => [
      kind,
      message.replace(configFile, 'F'),
      hint,
    ]);
    expect(told).toEqual([
      ['unknown', 'F, line 2, [serve] hsot: there is no such setting', 'did you mean host?'],
      ['unknown', 'F, line 4, [cartd] default_user: there is no such setting', 'it belongs under [ingest]'],
      ['unknown', 'F, line 6, [carted] copy: there is no such setting', 'it belongs under [cartd]'],
      ['unused', 'F, line 8, [celery] broker_url is not used: jobs need no broker here', undefined],
      ['unused', 'F, line 10, [hpss] user is not used: there is no storage hpss in this version', undefined],
      ['unknown', 'PACIFICA_SERVE_HSOT: there is no such setting', 'did you mean PACIFICA_SERVE_HOST?'],
    ]);
  });
});

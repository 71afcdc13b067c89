import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pacifica } from '../support/cli.js';
import { startDaemon } from '../support/serve.js';
import { until } from '../support/until.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-config-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function file(text: string, name = 'site.ini'): string {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
}

describe('config show', () => {
  it('prints every setting in the form of the file that it reads back, passwords hidden', async () => {
    const config = file('[database]\nurl = postgres://me:hidden@h/d\n[jobs]\nurl = mongodb://me:hidden@h/d\n');
    const { code, stdout, stderr } = await pacifica(['config', 'show', '--config', config, '--debug']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.toString()).toContain('\nurl = postgres://me:***@h/d\n');
    expect(stdout.toString()).not.toContain('hidden');
    const again = await pacifica(['config', 'show', '--config', file(stdout.toString(), 'again.ini')]);
    expect(again.text()).toBe(stdout.toString());
  });

  it('says with --origin where each value comes from', async () => {
    const config = file('[serve]\nhost = 127.0.0.2\n');
    const env = { LRU_PURGE: 'off' };
    const { stdout } = await pacifica(['config', 'show', '--origin', '-c', config, '--data-dir', dir], { env });
    const lines = stdout.toString().split('\n');
    const from = (name: string): string => lines.find((line) => line.startsWith(`${name} `))?.split(/ {2,}/)[2] ?? '';
    expect(from('serve.host')).toBe(`${config}, line 2, [serve] host`);
    expect(from('cartd.lru_purge')).toBe('LRU_PURGE');
    expect(from('data.dir')).toBe('--data-dir');
    expect(from('serve.cart_port')).toBe('default');
    const json = await pacifica(['config', 'show', '--json', '-c', config]);
    expect(json.lines()).toContainEqual({
      setting: 'serve.host',
      value: '127.0.0.2',
      origin: `${config}, line 2, [serve] host`,
    });
  });

  it('takes with --service what the original service read', async () => {
    const env = { CARTD_CONFIG: file('[archiveinterface]\nurl = http://a\n') };
    const url = async (service: string): Promise<string> =>
      (await pacifica(['config', 'show', '--service', service], { env })).text();
    expect(await url('cart')).toContain('[archiveinterface]\nurl = http://a\n');
    expect(await url('ingest')).toContain('[archiveinterface]\nurl =\n');
  });

  it.each([
    [{ PACIFICA_SERVE_CART_PORT: '70000' }, /^Error: PACIFICA_SERVE_CART_PORT: "70000" is not valid here/],
    [
      { PEEWEE_URL: 'mysql://me:hidden@h/d' },
      /^Error: PEEWEE_URL: it is not a database URL that pacifica knows\n Hint: /,
    ],
  ])('refuses %j', async (env, message) => {
    const { code, stderr } = await pacifica(['config', 'show', '--debug'], { env });
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('hidden');
  });
});

describe('a daemon with a CherryPy file', () => {
  it('listens and logs as that says, and opens its files anew on SIGHUP', async () => {
    const [access, error] = [join(dir, 'access.log'), join(dir, 'error.log')];
    const cherrypy = file(
      `[global]\nlog.screen: True\nlog.access_file: '${access}'\nlog.error_file: '${error}'\nserver.socket_host: '127.0.0.1'\nserver.socket_port: 0\n`,
    );
    const daemon = await startDaemon(['archive', 'serve', '--cpconfig', cherrypy, '--data-dir', join(dir, 'data')]);
    try {
      const url = daemon.urls.archive ?? '';
      const lines = (): string[] => readFileSync(access, 'utf8').split('\n').slice(0, -1);
      expect((await fetch(`${url}/12`)).status).toBe(404);
      await until('a line of the request', () => lines().length === 1);
      expect(JSON.parse(lines()[0] ?? '')).toMatchObject({ method: 'GET', url: '/12', status: 404 });
      expect(readFileSync(error, 'utf8')).toContain('log.screen is not used');
      expect(readFileSync(error, 'utf8')).not.toContain('"url":"/12"');

      renameSync(access, `${access}.1`);
      process.kill(daemon.pid, 'SIGHUP');
      await until('a line in the new file', async () => {
        await fetch(`${url}/13`);
        return lines().some((line) => line.includes('/13'));
      });
    } finally {
      await daemon.stop();
    }
  });
});

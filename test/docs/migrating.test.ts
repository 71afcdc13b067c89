import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pacifica } from '../support/cli.js';
import { startDaemon } from '../support/serve.js';

// every command line of the table works as it stands there, but for ports and places

const page = readFileSync(resolve(import.meta.dirname, '../../docs/migrating.md'), 'utf8');
const commands = [...page.matchAll(/^\| `.*?` +\| `pacifica (.*?)` +\|$/gm)].map((match) => match[1] ?? '');

let dir: string;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-migrating-'));
  env = { PACIFICA_DATA_DIR: join(dir, 'data'), METADATA_STATUS_ATTEMPTS: '0' };
  mkdirSync(join(dir, 'archive'));
  writeFileSync(join(dir, 'cart.ini'), `[cartd]\nvolume_path = ${dir}/carts\n[celery]\nbroker_url = pyamqp://\n`);
  writeFileSync(join(dir, 'ingest.ini'), `[ingest]\nvolume_path = ${dir}/bundles\n`);
  writeFileSync(join(dir, 'cherrypy.conf'), "[global]\nserver.socket_host: '127.0.0.1'\nserver.socket_port: 1\n");
  expect((await pacifica(['db', 'sync'], { env })).code).toBe(0);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Words as a shell splits them. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  );
}

describe('the table of command lines', () => {
  it('has every command of the originals', () => {
    expect(commands).toHaveLength(13);
  });

  it.each(commands.filter((line) => line.includes(' serve ')))('pacifica %s', async (line) => {
    const given = words(line).map((word, index, all) => {
      if (all[index - 1] === '-p') return '0';
      return word === '/path' ? join(dir, 'archive') : /\.(ini|conf)$/.test(word) ? join(dir, word) : word;
    });
    const daemon = await startDaemon(given, env);
    const [url = ''] = Object.values(daemon.urls);
    expect((await fetch(`${url}/`)).status).toBe(200);
    expect(await daemon.stop()).toBe(0);
  });

  it.each(commands.filter((line) => !line.includes(' serve ')))('pacifica %s', async (line) => {
    const { code, stderr } = await pacifica(words(line), { env });
    // what is named there is not here, but all of the words are understood
    const named = /UID|1234/.test(line);
    expect({ code, told: stderr !== '' }, stderr).toEqual({ code: named ? 3 : 0, told: named });
  });
});

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha1 } from '../support/bundle.js';
import { cartEnd, postCart } from '../support/main-job.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';
import { until } from '../support/until.js';

let home: string;
let daemon: Daemon | undefined;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-serve-'));
});
afterEach(async () => {
  await daemon?.stop('SIGKILL');
  daemon = undefined;
  rmSync(home, { recursive: true, force: true });
});

/** Runs a command that is expected to end by itself. */
function pacifica(words: string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync('node', ['bin/run.js', ...words], {
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, PACIFICA_DATABASE_CONNECT_ATTEMPTS: '1', ...env },
  });
}

/** free ports for all but one */
const portsBut = (other: string): string[] =>
  ['archive', 'cart', 'ingest', 'proxy', 'catalog', 'admin'].flatMap((name) =>
    name === other ? [] : [`--${name}-port`, '0'],
  );
const freePorts = portsBut('');

describe('pacifica serve', () => {
  it('says where everything listens in exactly one line of JSON, and each service answers there', async () => {
    daemon = await startServe(join(home, 'data'));
    expect(Object.keys(daemon.urls)).toEqual(['archive', 'cart', 'ingest', 'proxy', 'catalog', 'admin']);
    const messages: Record<string, string> = {
      archive: 'Pacifica Archive Interface Up and Running',
      cart: 'Pacifica Cartd Interface Up and Running',
      ingest: 'Pacifica Ingest Up and Running',
      proxy: 'Pacifica Proxy Up and Running',
      catalog: 'Pacifica Metadata Up and Running',
    };
    for (const [service, message] of Object.entries(messages)) {
      const answer = await fetch(`${daemon.urls[service] ?? ''}/`);
      expect([service, answer.status, await answer.json()]).toEqual([service, 200, { message }]);
    }
    expect(await daemon.stop()).toBe(0);
    expect(daemon.stdout).toHaveLength(1);
    for (const line of daemon.log().trim().split('\n')) JSON.parse(line);
    expect(readdirSync(join(home, 'data')).toSorted()).toEqual(
      expect.arrayContaining(['cart', 'ingest', 'pacifica.db']),
    );
  });

  it('shows a readable table without --json', async () => {
    const child = spawn('node', ['bin/run.js', 'serve', '--data-dir', join(home, 'data'), ...freePorts]);
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    try {
      await until('the end of the table', () => stdout.includes('Stop it with Ctrl-C.\n'));
      expect(stdout).toMatch(/^pacifica .* is ready, data in .*\n {2}archive {2}http:\/\/127\.0\.0\.1:\d+\n/);
    } finally {
      child.kill('SIGINT');
      await once(child, 'exit');
    }
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with 0 on %s, after the running request has finished',
    async (signal) => {
      daemon = await startServe(join(home, 'data'));
      const url = `${daemon.urls.archive ?? ''}/77`;
      let finish: (() => void) | undefined;
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from('first half, '));
          finish = () => {
            controller.enqueue(Buffer.from('second half'));
            controller.close();
          };
        },
      });
      const put = fetch(url, { method: 'PUT', body, duplex: 'half' });
      const temporary = join(home, 'data/archive/.pacifica/tmp');
      await until('the upload to be under way', () => existsSync(temporary) && readdirSync(temporary).length > 0);
      const ended = daemon.stop(signal);
      await until('no new connections', async () =>
        fetch(url).then(
          () => false,
          () => true,
        ),
      );
      finish?.();
      expect((await put).status).toBe(201);
      expect(await ended).toBe(0);
      expect(readFileSync(join(home, 'data/archive/77'), 'utf8')).toBe('first half, second half');
    },
  );

  it('answers health checks', async () => {
    daemon = await startServe(join(home, 'data'));
    const live = await fetch(`${daemon.urls.admin ?? ''}/health/live`);
    expect([live.status, await live.json()]).toEqual([
      200,
      expect.objectContaining({ status: 'live', pid: daemon.pid }),
    ]);
    const ready = await fetch(`${daemon.urls.admin ?? ''}/health/ready`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      { status: 'ready', checks: { database: 'ok', jobs: 'ok', archive: 'ok' } },
    ]);
  });

  it('refuses an address that others can reach, unless told', async () => {
    const refused = pacifica(['serve', '--data-dir', join(home, 'data'), '--host', '0.0.0.0', ...freePorts]);
    expect([refused.status, refused.stdout]).toEqual([7, '']);
    expect(refused.stderr).toContain('0.0.0.0');
    expect(refused.stderr).toContain('--insecure');
    expect(existsSync(join(home, 'data'))).toBe(false);
    daemon = await startServe(join(home, 'data'), {}, ['--host', '::1']);
    expect(daemon.urls.archive).toContain('http://[::1]:');
  });
});

describe('a daemon that can not start says why in a line', () => {
  it('a port in use: 5', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await until('the port', () => taken.listening);
    const { port } = taken.address() as AddressInfo;
    const { status, stderr, stdout } = pacifica(
      ['serve', '--data-dir', join(home, 'data'), ...portsBut('cart'), '--cart-port', String(port)],
      {
        PACIFICA_LOG_LEVEL: 'silent',
      },
    );
    taken.close();
    expect([status, stdout]).toEqual([5, '']);
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr).toContain('in use');
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
  });

  it('a data folder that can not be written: 7', () => {
    writeFileSync(join(home, 'file'), '');
    const { status, stderr } = pacifica(['serve', '--data-dir', join(home, 'file/data'), ...freePorts]);
    expect(status).toBe(7);
    expect(stderr).toContain(join(home, 'file/data'));
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it('a database that is not there: 5, and its password is not shown', () => {
    const { status, stderr } = pacifica(['serve', '--data-dir', join(home, 'data'), ...freePorts], {
      PACIFICA_DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:1/none',
    });
    expect(status).toBe(5);
    expect(stderr).toContain('127.0.0.1:1/none');
    expect(stderr).not.toContain('hunter2');
  });

  it('a configuration file with a mistake: 2, naming it', () => {
    writeFileSync(join(home, 'site.ini'), '[serve]\ncart_port = many\n');
    const { status, stderr } = pacifica(['serve', '--config', join(home, 'site.ini')]);
    expect(status).toBe(2);
    expect(stderr).toContain(`${join(home, 'site.ini')}, line 2, [serve] cart_port: "many"`);
  });
});

describe('a single service', () => {
  it.each(['archive', 'cart', 'ingest', 'proxy', 'catalog'])('pacifica %s serve runs alone', async (service) => {
    daemon = await startDaemon([service, 'serve', '--data-dir', join(home, 'data'), '-p', '0', '-a', '127.0.0.1']);
    expect(Object.keys(daemon.urls)).toEqual([service]);
    expect((await fetch(`${daemon.urls[service] ?? ''}/`)).status).toBe(200);
    expect(await daemon.stop()).toBe(0);
  });

  it('archive serve takes the storage as the original does, by flags and by environment', async () => {
    const words = ['archive', 'serve', '--data-dir', join(home, 'data'), '-p', '0'];
    daemon = await startDaemon([...words, '-t', 'posix', '--prefix', join(home, 'by flag')]);
    await fetch(`${daemon.urls.archive ?? ''}/1`, { method: 'PUT', body: 'flag' });
    await daemon.stop();
    daemon = await startDaemon(words, { PAI_BACKEND_TYPE: 'posix', PAI_PREFIX: join(home, 'env') });
    await fetch(`${daemon.urls.archive ?? ''}/1`, { method: 'PUT', body: 'env' });
    expect(readFileSync(join(home, 'by flag/1'), 'utf8')).toBe('flag');
    expect(readFileSync(join(home, 'env/1'), 'utf8')).toBe('env');
  });

  it('cart in a process of its own takes files from the archive over HTTP', async () => {
    const data = join(home, 'data');
    const archive = await startDaemon(['archive', 'serve', '--data-dir', data, '-p', '0']);
    try {
      await fetch(`${archive.urls.archive ?? ''}/5`, { method: 'PUT', body: 'through the wire' });
      daemon = await startDaemon(['cart', 'serve', '--data-dir', data, '-p', '0'], {
        PACIFICA_ARCHIVEINTERFACE_URL: archive.urls.archive,
      });
      const hashsum = sha1(Buffer.from('through the wire'));
      await postCart(daemon, 'wire', { fileids: [{ id: '5', path: 'a.txt', hashtype: 'sha1', hashsum }] });
      expect(await cartEnd(daemon, 'wire')).toBe('ready');
      const tar = await fetch(`${daemon.urls.cart ?? ''}/wire`);
      expect(Buffer.from(await tar.arrayBuffer()).toString()).toContain('through the wire');
    } finally {
      await archive.stop();
    }
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileEntry, transactionEntries } from '../contract/catalog.js';
import { sha1 } from '../support/bundle.js';
import { curl } from '../support/curl.js';
import { freePort } from '../support/free-port.js';
import { OriginalArchive } from '../support/original-archive.js';
import { type Daemon, startDaemon, startServe } from '../support/serve.js';

let home: string;
const running: { close(): Promise<unknown> }[] = [];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'pacifica-proxy-'));
});
afterEach(async () => {
  for (const one of running.splice(0).toReversed()) await one.close();
  rmSync(home, { recursive: true, force: true });
});

function keep(daemon: Daemon): Daemon {
  running.push({ close: () => daemon.stop('SIGKILL') });
  return daemon;
}

async function startProxy(env: NodeJS.ProcessEnv): Promise<Daemon> {
  const words = ['proxy', 'serve', '--data-dir', join(home, 'proxy'), '--port', '0', '--admin-port', '0'];
  return keep(await startDaemon(words, env));
}

/** A metadata service whose status is asked; says 503 as often as told, then 200. */
async function statusService(port: number, refusals: number): Promise<{ asked: string[] }> {
  const asked: string[] = [];
  const server: Server = createServer((req, res) => {
    asked.push(req.url ?? '');
    res.writeHead(asked.length > refusals ? 200 : 503).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  running.push({ close: async () => new Promise((resolve) => server.close(resolve)) });
  return { asked };
}

describe('the start of the proxy', () => {
  it('waits for metadata as often as the site says, at the URL that it says', async () => {
    const port = await freePort();
    const { asked } = await statusService(port, 3);
    const daemon = await startProxy({
      PACIFICA_METADATA_URL: `http://127.0.0.1:${port}`,
      PACIFICA_METADATA_STATUS_URL: `http://127.0.0.1:${port}/groups`,
      PACIFICA_METADATA_STATUS_WAIT: '0.05',
      PACIFICA_METADATA_STATUS_ATTEMPTS: '4',
    });
    expect(asked).toEqual(['/groups', '/groups', '/groups', '/groups']);
    expect(daemon.log()).toContain('the metadata service is not there yet (try 3 of 4)');
  });

  it('ends when it was not there so often', async () => {
    const port = await freePort();
    const { asked } = await statusService(port, 3);
    const starting = startProxy({
      PACIFICA_METADATA_URL: `http://127.0.0.1:${port}`,
      PACIFICA_METADATA_STATUS_WAIT: '0.05',
      PACIFICA_METADATA_STATUS_ATTEMPTS: '3',
    });
    await expect(starting).rejects.toThrow(/ended with 5.*the metadata service is not there/s);
    expect(asked).toHaveLength(3);
  });
});

describe('a proxy between an original archive and our catalog', () => {
  const bytes = Buffer.alloc(300_000, 'from afar ');

  it('hands files out, and says 502 soon when the one or the other is gone', async () => {
    const archive = new OriginalArchive();
    await archive.start();
    archive.files.set('11', bytes);
    const catalog = keep(await startServe(join(home, 'data')));
    const proxy = await startProxy({
      PACIFICA_METADATA_URL: catalog.urls.catalog,
      PACIFICA_ARCHIVEINTERFACE_URL: archive.url,
    });
    const entries = transactionEntries(1, fileEntry(11, { hashsum: sha1(bytes), size: bytes.length, name: 'f.bin' }));
    const told = await fetch(`${catalog.urls.catalog}/ingest`, { method: 'PUT', body: JSON.stringify(entries) });
    expect(told.status).toBe(200);

    const file = `${proxy.urls.proxy}/files/sha1/${sha1(bytes)}`;
    const whole = await curl([file]);
    expect([whole.status, whole.body.equals(bytes)]).toEqual([200, true]);
    const part = await curl(['-r', '100000-100009', file]);
    expect([part.status, part.text()]).toEqual([206, bytes.toString('utf8', 100_000, 100_010)]);
    expect(archive.requests.filter((line) => line.startsWith('HEAD'))).toHaveLength(2);

    await archive.close();
    // it tries again for some seconds, and says so then
    const broken = await curl(['--max-time', '20', file]);
    expect([broken.status, broken.json()]).toMatchObject([502, { message: 'the archive can not be reached now' }]);
    await catalog.stop('SIGKILL');
    const blind = await curl(['--max-time', '20', file]);
    expect([blind.status, blind.json()]).toMatchObject([
      502,
      { message: 'the metadata service can not be reached now', traceback: '' },
    ]);
  });
});

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createProxy, type Server } from 'node:http';
import { createServer, type Server as TlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { pacifica } from '../support/cli.js';

// a service behind HTTPS with a certificate of the site's own, and a proxy on the way to it

let dir: string;
let authority: string;
let service: TlsServer;
let proxy: Server;
let url: string;
let proxyUrl: string;
let asked: string[];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pacifica-https-'));
  authority = join(dir, 'cert.pem');
  const key = join(dir, 'key.pem');
  const about = ['-subj', '/CN=archive.test', '-addext', 'subjectAltName=DNS:localhost,DNS:archive.test,IP:127.0.0.1'];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', ...kind, ...about, '-keyout', key, '-out', authority], { stdio: 'pipe' });
  service = createServer({ key: readFileSync(key), cert: readFileSync(authority) }, (_req, res) => res.end('bytes'));
  proxy = createProxy().on('connect', (req, socket) => {
    asked.push(req.url ?? '');
    const { port } = service.address() as AddressInfo;
    const beyond = connect(port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    beyond.pipe(socket).pipe(beyond);
    for (const end of [beyond, socket]) end.on('error', () => [beyond, socket].forEach((one) => one.destroy()));
  });
  for (const server of [service, proxy]) await once(server.listen(0, '127.0.0.1'), 'listening');
  url = `https://127.0.0.1:${(service.address() as AddressInfo).port}`;
  proxyUrl = `http://someone:hidden@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterAll(() => {
  service.close();
  proxy.close();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => {
  asked = [];
});

const get = (from: string, env: NodeJS.ProcessEnv) =>
  pacifica(['archive', 'get', '5', '--archive-url', from, '--debug'], { env });

it('is trusted when NODE_EXTRA_CA_CERTS names its authority', async () => {
  const { code, stdout } = await get(url, { NODE_EXTRA_CA_CERTS: authority });
  expect({ code, stdout: stdout.toString() }).toEqual({ code: 0, stdout: 'bytes' });
});

it('is not trusted otherwise, and the message says what to do', async () => {
  const { code, stderr } = await get(url, {});
  expect(code).toBe(5);
  expect(stderr).toMatch(/can not reach the archive at https:\S+ self-signed certificate/);
  expect(stderr).toContain('NODE_EXTRA_CA_CERTS');
});

it('is reached through the proxy of HTTPS_PROXY, whose password is not shown', async () => {
  const env = { NODE_EXTRA_CA_CERTS: authority, HTTPS_PROXY: proxyUrl };
  // the name can not be looked up here: only the proxy knows it
  const { code, stdout, stderr } = await get('https://archive.test', env);
  expect({ code, stdout: stdout.toString(), asked }).toEqual({ code: 0, stdout: 'bytes', asked: ['archive.test:443'] });
  expect(stderr).not.toContain('hidden');
  expect(stderr).not.toContain(Buffer.from('someone:hidden').toString('base64'));
});

it('is reached directly when NO_PROXY names the host', async () => {
  const env = { NODE_EXTRA_CA_CERTS: authority, HTTPS_PROXY: proxyUrl, NO_PROXY: '127.0.0.1' };
  expect((await get(url, env)).stdout.toString()).toBe('bytes');
  expect(asked).toEqual([]);
});

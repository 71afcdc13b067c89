import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.js';
import { until } from './until.js';

const page = new URL('../../docs/nginx.md', import.meta.url);

/** What docs/nginx.md says is the site's own. */
export interface NginxSite {
  /** folder of the archive */
  readonly archive: string;
  /** URLs of the services */
  readonly urls: Readonly<Record<string, string>>;
  readonly users: Readonly<Record<string, string>>;
}

export interface TestNginx {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  /** the port that leads to it, `http://127.0.0.1:PORT` */
  readonly plainUrl: string;
  /** certificate that a client has to trust */
  readonly certificate: string;
  /** what nginx complained about */
  errors(): string;
  stop(): Promise<void>;
}

/**
 * @returns whether there is an nginx here; tests that need one are skipped by name without
 * @throws in CI, where nothing is skipped
 */
export function hasNginx(): boolean {
  if (spawnSync('nginx', ['-v']).status === 0) return true;
  if (process.env.CI !== undefined) throw new Error('there is no nginx: install the package of the distribution');
  return false;
}

/**
 * Starts nginx with the configuration that stands in docs/nginx.md, where only that is replaced which it says is to be
 * replaced, inside a main file like that of Debian's package.
 * @param folder empty, of its own
 */
export async function startNginx(folder: string, { archive, urls, users }: NginxSite): Promise<TestNginx> {
  mkdirSync(folder, { recursive: true });
  // as a folder of the system would be: nginx's own user has to get in
  chmodSync(folder, 0o755);
  const [key, certificate, htpasswd] = ['site.key', 'site.pem', 'users'].map((name) => join(folder, name));
  selfSigned(key ?? '', certificate ?? '');
  const lines = Object.entries(users).map(([user, password]) => `${user}:{PLAIN}${password}\n`);
  writeFileSync(htpasswd ?? '', lines.join(''));
  const [plainPort, port] = [await freePort(), await freePort()];
  const text = /```nginx\n([^]*?)```/.exec(readFileSync(page, 'utf8'))?.[1] ?? '';
  const site = replacing(text, [
    ['data.example.org;', 'localhost;'],
    ['/etc/ssl/data.example.org.pem', certificate ?? ''],
    ['/etc/ssl/data.example.org.key', key ?? ''],
    ['/etc/nginx/pacifica.htpasswd', htpasswd ?? ''],
    ['/srv/pacifica/archive/', `${archive}/`],
    ['listen 80;', `listen 127.0.0.1:${plainPort};`],
    ['listen 443 ', `listen 127.0.0.1:${port} `],
    ['127.0.0.1:8080;', hostOf(urls.archive)],
    ['127.0.0.1:8081;', hostOf(urls.cart)],
    ['127.0.0.1:8066;', hostOf(urls.ingest)],
    ['127.0.0.1:8180;', hostOf(urls.proxy)],
    ['127.0.0.1:8121;', hostOf(urls.catalog)],
  ]);
  writeFileSync(join(folder, 'pacifica.conf'), site);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(folder, name)};`)
    .join('\n  ');
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user www-data;' : ''}
worker_processes auto;
daemon off;
pid ${join(folder, 'nginx.pid')};
error_log ${join(folder, 'error.log')};
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  access_log ${join(folder, 'access.log')};
  gzip on;
  ${temporary}
  include ${join(folder, 'pacifica.conf')};
}
`,
  );
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const plainUrl = `http://127.0.0.1:${plainPort}`;
  await until('nginx to answer', async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${stderr}`);
    return (await fetch(plainUrl, { redirect: 'manual' })).status === 301;
  });
  return {
    url: `https://localhost:${port}`,
    plainUrl,
    certificate: certificate ?? '',
    errors: () => readFileSync(join(folder, 'error.log'), 'utf8'),
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/** Every replacement must find its place: what is not in the page any more must not be in the test. */
function replacing(text: string, pairs: readonly (readonly [string, string])[]): string {
  return pairs.reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`docs/nginx.md has no ${from}`);
    return result.replaceAll(from, to);
  }, text);
}

function hostOf(url: string | undefined): string {
  return `${new URL(url ?? '').host};`;
}

function selfSigned(key: string, certificate: string): void {
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate],
  ]);
  if (made.status !== 0) throw new Error(`openssl: ${String(made.stderr)}`);
}

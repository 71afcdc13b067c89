import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cpuSeconds, withChildren } from './proc.js';

/** A web server that is measured. */
export interface Server {
  readonly port: number;
  readonly pid: number;
  /** folder whose files it serves by their names */
  readonly root: string;
  /** @returns CPU time of all its processes so far, in seconds */
  cpu(): number;
  stop(): Promise<void>;
}

/** Longest time from one look at an event loop to the next, in ms. */
export interface LoopDelay {
  /** as monitorEventLoopDelay has it */
  readonly worst: number;
  /** without the time that the thread was ready to run and had no processor, since others of the machine had them */
  readonly own: number;
}

/** Our archive interface. */
export interface Daemon extends Server {
  /** @returns what it was since the last call; see loop-probe.mjs */
  loopDelay(): Promise<LoopDelay>;
}

const RUN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const PROBE = new URL('loop-probe.mjs', import.meta.url).href;

/** Starts `pacifica archive serve` as it is installed, with its log on. */
export async function startDaemon(folder: string, env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
  await mkdir(folder, { recursive: true });
  const log = await open(join(folder, 'log'), 'a');
  const words = ['archive', 'serve', '--data-dir', folder, '--port', '0', '--json'];
  const child = spawn(process.execPath, ['--import', PROBE, RUN, ...words], {
    stdio: ['ignore', 'pipe', log.fd, 'ipc'],
    env: { ...process.env, ...env },
  });
  await log.close();
  if (child.stdout === null) throw new Error('the daemon has no stdout');
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended(child, `the daemon ended before it was ready, see ${folder}/log`),
  ])) as [string];
  const { pid, urls } = JSON.parse(line) as { pid: number; urls: { archive: string } };
  return {
    port: Number(new URL(urls.archive).port),
    pid,
    root: join(folder, 'archive'),
    cpu: () => cpuSeconds(pid),
    async loopDelay() {
      const answer = once(child, 'message') as Promise<[LoopDelay]>;
      child.send('how long?');
      return (await answer)[0];
    },
    stop: () => stop(child),
  };
}

/** @returns whether there is an nginx in PATH that can store files (WebDAV) */
export function hasNginx(): boolean {
  const { status, stderr } = spawnSync('nginx', ['-V'], { encoding: 'utf8' });
  return status === 0 && stderr.includes('http_dav_module');
}

/**
 * Starts nginx as distributions set it up: a worker a core, sendfile, a line a request in the log; and WebDAV.
 * @param locations more of its configuration
 */
export async function startNginx(folder: string, locations = ''): Promise<Server> {
  const root = join(folder, 'root');
  const temporary = join(folder, 'tmp');
  await Promise.all([root, temporary].map((one) => mkdir(one, { recursive: true })));
  const port = await freePort();
  const configuration = join(folder, 'nginx.conf');
  await writeFile(
    configuration,
    `daemon off;
     worker_processes auto;
     ${process.getuid?.() === 0 ? 'user root;' : ''}
     pid ${folder}/nginx.pid;
     error_log ${folder}/error.log;
     events { worker_connections 1024; }
     http {
       access_log ${folder}/access.log;
       sendfile on;
       tcp_nopush on;
       keepalive_requests 1000000000;
       client_max_body_size 0;
       client_body_temp_path ${temporary};
       server { listen 127.0.0.1:${port}; root ${root}; dav_methods PUT DELETE; ${locations} }
     }`,
  );
  const child = spawn('nginx', ['-c', configuration, '-p', folder], { stdio: ['ignore', 'ignore', 'inherit'] });
  const { pid } = child;
  if (pid === undefined) throw new Error('nginx does not start');
  await Promise.race([answers(port), ended(child, `nginx ended, see ${folder}/error.log`)]);
  return {
    port,
    pid,
    root,
    cpu: () => withChildren(pid).reduce((sum, one) => sum + cpuSeconds(one), 0),
    stop: () => stop(child),
  };
}

const BARE_KOA = fileURLToPath(new URL('bare-koa.mjs', import.meta.url));

/**
 * Starts Koa with a log line a request and nothing else but reading the file.
 * @param root folder whose files it serves
 */
export async function startBareKoa(root: string, logFile: string): Promise<Server> {
  const child = spawn(process.execPath, [BARE_KOA, root, logFile], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { pid } = child;
  if (pid === undefined) throw new Error('Koa does not start');
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended(child, 'Koa ended before it was ready'),
  ])) as [string];
  return { port: Number(line), pid, root, cpu: () => cpuSeconds(pid), stop: () => stop(child) };
}

async function ended(child: ChildProcess, message: string): Promise<never> {
  await once(child, 'exit');
  throw new Error(message);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

async function answers(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      return;
    } catch {
      // not listening yet
      await sleep(20);
    }
  }
}

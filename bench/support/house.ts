import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { cpuSeconds } from './proc.js';

const RUN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));

/** `pacifica serve`: all services in one process. */
export interface House {
  /** URL by service */
  readonly urls: Readonly<Record<string, string>>;
  /** folder of the archive */
  readonly archive: string;
  /** @returns CPU time so far, in seconds */
  cpu(): number;
  stop(): Promise<void>;
}

/** Starts it as it is installed, on free ports, with its log on. */
export async function startHouse(folder: string, env: NodeJS.ProcessEnv = {}): Promise<House> {
  await mkdir(folder, { recursive: true });
  const log = await open(join(folder, 'log'), 'a');
  const ports = ['archive', 'cart', 'ingest', 'proxy', 'catalog', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
  const child = spawn(process.execPath, [RUN, 'serve', '--data-dir', folder, ...ports, '--json'], {
    stdio: ['ignore', 'pipe', log.fd],
    env: { ...process.env, ...env },
  });
  await log.close();
  const lines = createInterface({ input: child.stdout ?? process.stdin });
  const [line] = (await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error(`it ended before it was ready, see ${folder}/log`))),
  ])) as [string];
  const { pid, urls } = JSON.parse(line) as { pid: number; urls: Record<string, string> };
  return {
    urls,
    archive: join(folder, 'archive'),
    cpu: () => cpuSeconds(pid),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

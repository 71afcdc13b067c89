import { type ChildProcess, type ChildProcessByStdio, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const run = fileURLToPath(new URL('../../bin/run.js', import.meta.url));

/** A running daemon of ours: the built program, as a process of its own. */
export interface Daemon {
  readonly pid: number;
  readonly urls: Record<string, string>;
  /** what it wrote to stdout, line by line */
  readonly stdout: string[];
  /** everything it logged */
  log(): string;
  /** most memory that it had resident so far, in bytes (Linux) */
  peakMemory(): number;
  /** sends a signal and waits for the end. @returns exit code, or the signal's name */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/**
 * Starts `pacifica <words>` and waits for its ready event.
 * @param words e.g. `['serve', '--data-dir', folder]`; `--json` is added
 * @param stderr descriptor that it writes its log to instead of us
 */
export async function startDaemon(
  words: readonly string[],
  env: NodeJS.ProcessEnv = {},
  stderr: 'pipe' | number = 'pipe',
): Promise<Daemon> {
  const options: SpawnOptions = { stdio: ['ignore', 'pipe', stderr], env: { ...process.env, ...env } };
  const child = spawn(process.execPath, [run, ...words, '--json'], options) as ChildProcessByStdio<
    null,
    Readable,
    Readable | null
  >;
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const stdout: string[] = [];
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const event = await new Promise<{ pid: number; urls: Record<string, string> }>((resolve, reject) => {
    lines.on('line', (line) => {
      stdout.push(line);
      if (stdout.length === 1) resolve(JSON.parse(line) as { pid: number; urls: Record<string, string> });
    });
    child.once('exit', (code) => reject(new Error(`it ended with ${String(code)} before it was ready: ${log}`)));
  });
  return {
    ...event,
    stdout,
    log: () => log,
    peakMemory: () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${event.pid}/status`, 'utf8'))?.[1]) * 1024,
    async stop(signal = 'SIGTERM') {
      if (isRunning(child)) child.kill(signal);
      const [code, killedBy] = await ended;
      return code ?? killedBy ?? '';
    },
  };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** `pacifica serve` on a data folder, all ports free ones. */
export async function startServe(
  dataDir: string,
  env: NodeJS.ProcessEnv = {},
  flags: readonly string[] = [],
): Promise<Daemon> {
  const ports = ['archive', 'cart', 'ingest', 'proxy', 'catalog', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
  return startDaemon(['serve', '--data-dir', dataDir, ...ports, ...flags], env);
}

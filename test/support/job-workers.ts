import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { WorkerEvent, WorkerOptions } from './job-worker-options.js';

const program = fileURLToPath(new URL('job-worker.ts', import.meta.url));

/** A running job-worker.ts. */
export interface JobWorker {
  /** everything it told so far */
  readonly events: readonly WorkerEvent[];
  /** sends a signal and waits for the end. @returns exit code, or the signal's name */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string>;
  /** sends a signal that does not end it */
  send(signal: 'SIGSTOP' | 'SIGCONT'): void;
}

/** Starts a worker as a process of its own, and waits until it works. */
export async function startWorker(options: WorkerOptions): Promise<JobWorker> {
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx/esm', program, JSON.stringify(options)], {
    // it ends with its stdin: none outlives its test
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const events: WorkerEvent[] = [];
  if (child.stdout === null) throw new Error('it has no stdout');
  const lines = createInterface({ input: child.stdout });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      const event = JSON.parse(line) as WorkerEvent;
      events.push(event);
      if (event.event === 'ready') resolve();
    });
    child.once('exit', (code) => reject(new Error(`the worker ended with ${String(code)} before it was ready`)));
  });
  return {
    events,
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const [code, killedBy] = await ended;
      return code ?? killedBy ?? '';
    },
    send: (signal) => void child.kill(signal),
  };
}

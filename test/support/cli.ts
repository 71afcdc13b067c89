import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../bin/run.js', import.meta.url));

export interface CliResult {
  /** exit code; null when a signal ended it */
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** stdout as text */
  readonly text: () => string;
  /** stdout as JSON lines */
  readonly lines: () => unknown[];
}

export interface CliOptions {
  env?: NodeJS.ProcessEnv;
  /** standard input; none when absent */
  input?: Uint8Array | string;
  cwd?: string;
  /** called when the process runs, to send it signals */
  onStart?: (child: ChildProcess) => void;
}

/** What a shell needs to start the program, for tests that need a terminal or a pipe: `node run.js`. */
export const cliCommand = [process.execPath, program] as const;

/** Environment without anything of pacifica's, of colours and of terminals: a test says what it wants. */
export function cliEnv(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const clean = Object.entries(process.env).filter(
    ([name]) => !/^(PACIFICA_|NODE_ENV$|VITEST|FORCE_COLOR$)/.test(name),
  );
  return { ...Object.fromEntries(clean), ...env };
}

/** Runs `pacifica <args>` as a process of its own, without a terminal, and waits for its end. */
export async function pacifica(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const child = spawn(process.execPath, [program, ...args], {
    env: cliEnv(options.env),
    cwd: options.cwd,
    // less than a test may take: none outlives its test
    timeout: 50_000,
    killSignal: 'SIGKILL',
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // it may end before it has read all of it
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input);
  options.onStart?.(child);
  const [code] = (await once(child, 'close')) as [number | null];
  const out = Buffer.concat(stdout);
  return {
    code,
    stdout: out,
    stderr: Buffer.concat(stderr).toString(),
    text: () => out.toString(),
    lines: () =>
      out
        .toString()
        .split('\n')
        .filter((line) => line !== '')
        .map((line): unknown => JSON.parse(line)),
  };
}

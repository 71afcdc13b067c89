import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cliCommand, cliEnv } from './cli.js';

const driver = fileURLToPath(new URL('terminal.py', import.meta.url));

export interface TerminalResult {
  readonly code: number;
  /** everything that the terminal showed, escape sequences too */
  readonly screen: string;
}

export interface TerminalOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** what to type (`\u0003` is Ctrl-C) when a text was shown */
  steps?: readonly (readonly [shown: string, type: string])[];
  /** called with all that was shown so far, each time that there is more */
  onScreen?: (screen: string) => void;
}

/** Runs `pacifica <args>` on a pseudo-terminal of 100 columns. */
export function onTerminal(args: readonly string[], options: TerminalOptions = {}): Promise<TerminalResult> {
  return commandOnTerminal([...cliCommand, ...args], options);
}

/** Runs any command on a pseudo-terminal of 100 columns. */
export async function commandOnTerminal(
  command: readonly string[],
  { env, cwd, steps = [], onScreen }: TerminalOptions = {},
): Promise<TerminalResult> {
  const child = spawn('python3', [driver, JSON.stringify(steps), ...command], {
    env: { TERM: 'xterm', ...cliEnv(env) },
    cwd,
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 50_000,
  });
  let screen = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
    onScreen?.(screen);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === null) throw new Error(`no end on the terminal: ${screen}`);
  return { code, screen };
}

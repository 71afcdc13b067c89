import { execFile } from 'node:child_process';
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
}

/** Runs `pacifica <args>` on a pseudo-terminal of 100 columns. */
export function onTerminal(args: readonly string[], options: TerminalOptions = {}): Promise<TerminalResult> {
  return commandOnTerminal([...cliCommand, ...args], options);
}

/** Runs any command on a pseudo-terminal of 100 columns. */
export function commandOnTerminal(command: readonly string[], options: TerminalOptions = {}): Promise<TerminalResult> {
  const words = [driver, JSON.stringify(options.steps ?? []), ...command];
  const env = { TERM: 'xterm', ...cliEnv(options.env) };
  return new Promise((resolve, reject) => {
    execFile('python3', words, { env, cwd: options.cwd, timeout: 50_000 }, (error, screen) => {
      if (error === null) resolve({ code: 0, screen });
      else if (typeof error.code === 'number') resolve({ code: error.code, screen });
      else reject(new Error(`no end on the terminal: ${screen}`, { cause: error }));
    });
  });
}

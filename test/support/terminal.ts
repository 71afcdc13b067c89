import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cliCommand, cliEnv } from './cli.js';

const driver = fileURLToPath(new URL('terminal.py', import.meta.url));

export interface TerminalResult {
  readonly code: number;
  /** everything that the terminal showed, escape sequences too */
  readonly screen: string;
}

/**
 * Runs `pacifica <args>` on a pseudo-terminal of 100 columns.
 * @param steps what to type (`\u0003` is Ctrl-C) when a text was shown
 */
export function onTerminal(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; steps?: readonly (readonly [shown: string, type: string])[] } = {},
): Promise<TerminalResult> {
  const words = [driver, JSON.stringify(options.steps ?? []), ...cliCommand, ...args];
  const env = { TERM: 'xterm', ...cliEnv(options.env) };
  return new Promise((resolve, reject) => {
    execFile('python3', words, { env, cwd: options.cwd, timeout: 50_000 }, (error, screen) => {
      if (error === null) resolve({ code: 0, screen });
      else if (typeof error.code === 'number') resolve({ code: error.code, screen });
      else reject(new Error(`no end on the terminal: ${screen}`, { cause: error }));
    });
  });
}

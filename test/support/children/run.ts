import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/**
 * Runs a program of this folder as a process of its own.
 * @param name its file without `.ts`
 * @returns what it printed
 * @throws when it ends with another code than 0, with what it wrote to stderr
 */
export async function runChild(name: string, ...args: string[]): Promise<string> {
  const file = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx/esm', file, ...args], {
    maxBuffer: 2 ** 28,
  });
  return stdout;
}

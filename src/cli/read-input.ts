import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { localError } from '../client/steady-file.js';
import { messageOf, PacificaError } from '../lib/errors.js';

/**
 * Reads a JSON document that a person names: a file, or `-` for standard input.
 * @throws PacificaError `not-found`, `invalid` when it is no JSON
 */
export async function readJson(path: string, signal: AbortSignal): Promise<unknown> {
  const [name, content] =
    path === '-' ? ['standard input', await readStdin(signal)] : [path, await readText(path, signal)];
  try {
    return JSON.parse(content.replace(/^\uFEFF/, '')) as unknown;
  } catch (error) {
    throw new PacificaError('invalid', `${name} is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

async function readText(path: string, signal: AbortSignal): Promise<string> {
  try {
    return await readFile(path, { encoding: 'utf8', signal });
  } catch (error) {
    throw signal.aborted ? error : localError(error, path);
  }
}

async function readStdin(signal: AbortSignal): Promise<string> {
  const stop = (): void => void process.stdin.destroy(new PacificaError('aborted', 'interrupted'));
  signal.addEventListener('abort', stop);
  try {
    return await text(process.stdin);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

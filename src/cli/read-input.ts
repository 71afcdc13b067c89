import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { localError } from '../client/steady-file.js';
import { messageOf, PacificaError } from '../lib/errors.js';

/**
 * Reads a JSON document that a person names: a file, or `-` for standard input.
 * @throws PacificaError `not-found`, `invalid` when it is no JSON
 */
export async function readJson(path: string, signal: AbortSignal): Promise<unknown> {
  const { name, content } = await readInput(path, signal);
  try {
    return JSON.parse(content) as unknown;
  } catch (error) {
    throw new PacificaError('invalid', `${name} is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Reads a text that a person names: a file, or `-` for standard input. A byte order mark is no part of it.
 * @returns the text, and what to call it in messages
 * @throws PacificaError `not-found`, `forbidden`, `invalid` for a folder
 */
export async function readInput(path: string, signal: AbortSignal): Promise<{ name: string; content: string }> {
  const [name, content] =
    path === '-' ? ['standard input', await readStdin(signal)] : [path, await readText(path, signal)];
  return { name, content: content.replace(/^\uFEFF/, '') };
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

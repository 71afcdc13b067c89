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
  return parse(content, name);
}

/**
 * Reads a JSON document, or lines of JSON as our commands print them: these become one list.
 * @throws PacificaError as {@link readJson}
 */
export async function readJsonLines(path: string, signal: AbortSignal): Promise<unknown> {
  const { name, content } = await readInput(path, signal);
  const lines = content.split('\n').flatMap((line, index) => (line.trim() === '' ? [] : [{ line, number: index + 1 }]));
  if (lines.length === 0) return [];
  // a document that is written over several lines has no object on its first one
  if (lines.length === 1 || !isObject(lines[0]?.line ?? '')) return parse(content, name);
  return lines.map(({ line, number }) => parse(line, `line ${number} of ${name}`));
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new PacificaError('invalid', `${name} is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

function isObject(line: string): boolean {
  try {
    return line.trimStart().startsWith('{') && typeof JSON.parse(line) === 'object';
  } catch {
    return false;
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

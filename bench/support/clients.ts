import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** @returns seconds that a GET took */
export async function download(url: string): Promise<number> {
  return curl([200], ['-o', '/dev/null', url]);
}

/** @returns seconds that a PUT took, the answer included */
export async function upload(url: string, path: string): Promise<number> {
  return curl([201, 204], ['-o', '/dev/null', '-T', path, url]);
}

async function curl(expected: readonly number[], words: readonly string[]): Promise<number> {
  const { stdout } = await run('curl', ['-sS', '-w', '%{http_code} %{time_total}', ...words]);
  const [status, seconds] = stdout.split(' ').map(Number);
  if (status === undefined || seconds === undefined || !expected.includes(status)) {
    throw new Error(`curl ${words.join(' ')}: ${stdout}`);
  }
  return seconds;
}

/** Downloads (no path) or uploads a file under many URLs, all at once. */
export async function allAtOnce(urls: readonly string[], path?: string): Promise<void> {
  const words = urls.flatMap((url) => ['-o', '/dev/null', ...(path === undefined ? [] : ['-T', path]), url]);
  await run('curl', ['-sS', '--fail-early', '-f', '-Z', '--parallel-immediate', '--parallel-max', '300', ...words]);
}

const SMALL_REQUESTS = fileURLToPath(new URL('small-requests.mjs', import.meta.url));

/**
 * Keeps 64 connections busy with files of 4 KiB, named by numbers.
 * @param first the first number
 * @param files how many there are; they come in turn
 * @returns seconds that all requests took
 */
export async function smallRequests(
  port: number,
  method: 'GET' | 'PUT',
  { requests, first, files }: { requests: number; first: number; files: number },
): Promise<number> {
  const words = [port, method, 64, requests, first, files].map(String);
  const { stdout } = await run(process.execPath, [SMALL_REQUESTS, ...words]);
  return Number(stdout);
}

/** @returns seconds that a program took */
export async function program(name: string, words: readonly string[]): Promise<number> {
  const started = performance.now();
  await run(name, [...words]);
  return (performance.now() - started) / 1000;
}

const DURABLE_FILES = fileURLToPath(new URL('durable-files.mjs', import.meta.url));

/**
 * Makes files of 4 KiB durable in a folder, 64 at a time.
 * @returns seconds that it took
 */
export async function durableFiles(folder: string, files: number): Promise<number> {
  const { stdout } = await run(process.execPath, [DURABLE_FILES, folder, String(files)]);
  return Number(stdout);
}

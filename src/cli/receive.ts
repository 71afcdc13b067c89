import { once } from 'node:events';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Download, type Fetch } from '../client/download.js';
import { createHasher, hashReader, type HashType } from '../lib/digest.js';
import { mayPass, messageOf, PacificaError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import { parseHttpDate } from '../lib/http-date.js';
import { formatSize } from '../lib/sizes.js';
import { Feed } from './feed.js';
import { OutputFile } from './output-file.js';
import { type Progress, startProgress } from './progress.js';

export interface ReceiveOptions {
  /** what it is, for messages and for the bar: `file 12345` */
  readonly what: string;
  readonly fetch: Fetch;
  /** file to write; standard output when absent */
  readonly output: string | undefined;
  readonly signal: AbortSignal;
  /** hash that the bytes must have, known before or from the headers of the answer */
  readonly expected?: (download: Download) => { type: HashType; sum: string } | undefined;
  /** reads all bytes as they go by, those of an earlier run too; what it throws ends the transfer */
  readonly check?: (download: Download) => Promise<((pieces: AsyncIterable<Uint8Array>) => Promise<void>) | undefined>;
  /** give the file the time that the service says */
  readonly keepTime?: boolean;
  /**
   * a file that is there already is taken for the beginning, or the whole, of what comes, where the service tells its
   * hash to check that by
   */
  readonly goOn?: boolean;
  /** where the bytes are shown, with those of other files; a bar of its own when absent */
  readonly progress?: Progress;
}

/** What came. */
export interface Received {
  /** bytes */
  readonly size: number;
  /** absolute path, absent when it went to standard output */
  readonly file?: string;
}

/**
 * Fetches something into a file, or to standard output. The file appears when every byte is there, checked, and on the
 * disk. What is interrupted and can be taken up again is kept as a part; anything else leaves nothing.
 * @throws PacificaError `integrity` when bytes don't match length or hash
 */
export async function receive(options: ReceiveOptions): Promise<Received> {
  if (options.output === undefined && process.stdout.isTTY) {
    throw new PacificaError('invalid', `${options.what} is not for a terminal`, {
      hint: 'write it to a file with --output FILE, or send it on with a pipe',
    });
  }
  const download = await Download.open(options.fetch, { signal: options.signal });
  try {
    return await (options.output === undefined
      ? toStdout(options, download)
      : toFile(options, options.output, download));
  } finally {
    await download.discard();
  }
}

async function toStdout(options: ReceiveOptions, download: Download): Promise<Received> {
  const size = await pour(options, download, 0, [], async (piece) => {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain', { signal: options.signal });
  });
  return { size };
}

async function toFile(options: ReceiveOptions, target: string, download: Download): Promise<Received> {
  const { etag, size } = download;
  const part = etag === undefined || size === undefined ? undefined : { key: `${options.what} ${etag}`, size };
  if (options.goOn === true && (await isAlready(options, target, download))) {
    return { size: download.size ?? 0, file: resolve(target) };
  }
  const goesOn = options.goOn === true && part !== undefined && options.expected?.(download) !== undefined;
  const file = await OutputFile.open(target, part, { goOn: goesOn });
  try {
    const received = await pour(options, download, file.size, file.kept(), (piece) => file.write(piece));
    const time = options.keepTime === true ? parseHttpDate(download.header('last-modified') ?? '') : undefined;
    await file.commit(time);
    return { size: received, file: file.path };
  } catch (error) {
    const stopped = options.signal.aborted;
    if (part === undefined || !(stopped || mayPass(error))) {
      await file.discard();
      throw error;
    }
    const kept = await file.suspend(part.key);
    throw new PacificaError(stopped || !(error instanceof PacificaError) ? 'aborted' : error.code, messageOf(error), {
      hint: kept ? `${formatSize(file.size)} are kept: the same command goes on from there` : undefined,
      cause: error,
    });
  }
}

/** @returns whether the file that is there has the length and the hash of the whole */
async function isAlready({ expected, signal }: ReceiveOptions, target: string, download: Download): Promise<boolean> {
  const hash = expected?.(download);
  const stat = statSync(target, { throwIfNoEntry: false });
  if (hash === undefined || stat?.isFile() !== true || stat.size !== download.size) return false;
  const reader = FileReader.open(target);
  try {
    return (await hashReader(reader, hash.type, { signal })) === hash.sum;
  } finally {
    await reader.close();
  }
}

/**
 * Lets all bytes go by: counted, hashed, shown.
 * @param start bytes that are there already, as `before` reads them
 * @returns bytes of the whole
 */
async function pour(
  { what, expected, check, progress: shared, goOn }: ReceiveOptions,
  download: Download,
  start: number,
  before: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<number> {
  const hash = expected?.(download);
  const hasher = hash === undefined ? undefined : createHasher(hash.type);
  const reader = await check?.(download);
  const feed = reader === undefined ? undefined : new Feed(reader);
  const progress = shared ?? startProgress(what, { bytes: download.size });
  let size = start;
  try {
    if (hasher !== undefined || feed !== undefined) {
      for await (const piece of before) {
        hasher?.update(piece);
        await feed?.push(piece);
      }
    }
    if (shared === undefined) progress.start(start);
    // all of it may be there already
    if (start === 0 || start !== download.size) {
      for await (const piece of download.chunks(start)) {
        hasher?.update(piece);
        await feed?.push(piece);
        await write(piece);
        size += piece.length;
        progress.add(piece.length);
      }
    }
    await feed?.end();
  } finally {
    if (shared === undefined) progress.stop();
  }
  const sum = hasher?.digest('hex');
  if (hash !== undefined && sum !== hash.sum) {
    throw new PacificaError('integrity', `${what} came with ${hash.type} ${sum ?? ''}, it should be ${hash.sum}`, {
      hint: goOn === true && start > 0 ? 'what was there is no part of it: leave --continue away' : undefined,
    });
  }
  return size;
}

import { once } from 'node:events';
import { Download, type Fetch } from '../client/download.js';
import { createHasher, type HashType } from '../lib/digest.js';
import { mayPass, messageOf, PacificaError } from '../lib/errors.js';
import { parseHttpDate } from '../lib/http-date.js';
import { formatSize } from '../lib/sizes.js';
import { Feed } from './feed.js';
import { OutputFile } from './output-file.js';
import { startProgress } from './progress.js';

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
  const file = await OutputFile.open(target, part);
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

/**
 * Lets all bytes go by: counted, hashed, shown.
 * @param start bytes that are there already, as `before` reads them
 * @returns bytes of the whole
 */
async function pour(
  { what, expected, check }: ReceiveOptions,
  download: Download,
  start: number,
  before: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<number> {
  const hash = expected?.(download);
  const hasher = hash === undefined ? undefined : createHasher(hash.type);
  const reader = await check?.(download);
  const feed = reader === undefined ? undefined : new Feed(reader);
  const progress = startProgress(what, { bytes: download.size });
  let size = start;
  try {
    if (hasher !== undefined || feed !== undefined) {
      for await (const piece of before) {
        hasher?.update(piece);
        await feed?.push(piece);
      }
    }
    progress.start(start);
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
    progress.stop();
  }
  const sum = hasher?.digest('hex');
  if (hash !== undefined && sum !== hash.sum) {
    throw new PacificaError('integrity', `${what} came with ${hash.type} ${sum ?? ''}, it should be ${hash.sum}`);
  }
  return size;
}

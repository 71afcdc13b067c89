import type { Context } from 'koa';
import type Koa from 'koa';
import type { Condition, LocalArchive } from '../archive/local-archive.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { parseOldByteRange } from '../lib/byte-range.js';
import type { Checksum, ChecksumType } from '../lib/checksum.js';
import { PacificaError } from '../lib/errors.js';
import { formatHttpDate, requireHttpDate } from '../lib/http-date.js';
import type { FileStatus, PutOptions } from '../storage/backends/backend.js';
import { answerFile, checkPreconditions, matchesNone } from './answer-file.js';
import { type AppOptions, createApp } from './app.js';
import { announcedChecksums, checksumHeaders } from './digest-headers.js';
import { HttpError } from './errors.js';
import { readJsonBody } from './json-body.js';
import { queryText } from './query.js';
import { requestBlocks } from './request-blocks.js';
import { sendRange } from './send.js';
import { answerJson } from './wire-json.js';

export interface ArchiveAppParts {
  readonly archive: LocalArchive;
  /** refuse (409) to store under an id that is taken */
  readonly writeOnce: boolean;
}

/** bytes of a PATCH's body: a path and a little more */
const PATCH_LIMIT = 64 * 1024;

type Handler = (ctx: Context, id: ArchiveId, parts: ArchiveAppParts) => Promise<void>;

const handlers: Readonly<Partial<Record<string, Handler>>> = {
  GET: getFile,
  HEAD: headFile,
  PUT: putFile,
  POST: stageFile,
  PATCH: moveFile,
  DELETE: deleteFile,
};

/** The archive interface's routes (wire.md, archive part). */
export function archiveApp(options: AppOptions, parts: ArchiveAppParts): Koa {
  const app = createApp(options);
  app.use(async (ctx) => {
    if (ctx.path === '/') {
      allow(ctx, ['GET', 'HEAD']);
      answerJson(ctx, 200, { message: 'Pacifica Archive Interface Up and Running' });
      return;
    }
    const segment = /^\/([^/]+)$/.exec(ctx.path)?.[1];
    if (segment === undefined) throw new HttpError(404, 'Nothing matches the given URI');
    const id = parseArchiveId(decode(segment));
    allow(ctx, Object.keys(handlers));
    await handlers[ctx.method]?.(ctx, id, parts);
  });
  return app;
}

/** RFC 9110, 15.5.6: whoever comes with another method is told which there are. */
function allow(ctx: Context, methods: readonly string[]): void {
  if (methods.includes(ctx.method)) return;
  ctx.set('Allow', methods.join(', '));
  throw new HttpError(405, 'Specified method is invalid for this resource');
}

/** Once and never again: what is still escaped then is no id. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    throw new PacificaError('invalid', `archive id ${JSON.stringify(segment.slice(0, 250))} is not valid`, {
      cause: error,
    });
  }
}

async function getFile(ctx: Context, id: ArchiveId, { archive }: ArchiveAppParts): Promise<void> {
  const oldRange = queryText(ctx, 'byte_range');
  const file = await archive.open(id);
  const { status, reader } = file;
  try {
    ctx.set('Content-Type', 'application/octet-stream');
    if (oldRange === undefined) {
      const whole = ctx.req.headers.range === undefined;
      const compute = (type: ChecksumType): Promise<Checksum> => archive.computeChecksum(file, type);
      ctx.set(await checksumHeaders(ctx.req.headers, await archive.checksumOf(id, status), compute, whole));
      await answerFile(ctx, status, (res, start, end) => sendRange(res, reader, start, end), reader);
      return;
    }
    const { start, end } = parseOldByteRange(oldRange, status.size);
    checkPreconditions(ctx.req.headers, status);
    ctx.set('Last-Modified', formatHttpDate(status.mtimeMs));
    ctx.set('Content-Length', String(end - start));
    ctx.status = 200;
    ctx.respond = false;
    await sendRange(ctx.res, reader, start, end);
  } finally {
    await file.close();
  }
}

async function headFile(ctx: Context, id: ArchiveId, { archive }: ArchiveAppParts): Promise<void> {
  const status = await archive.status(id);
  const checksums = await checksumHeaders(
    ctx.req.headers,
    await archive.checksumOf(id, status),
    (type) => computeChecksum(archive, id, type),
    true,
  );
  ctx.respond = false;
  // past Koa, which takes the type off a 204
  ctx.res.writeHead(204, { ...statusHeaders(status), ...checksums });
  ctx.res.end();
}

async function computeChecksum(archive: LocalArchive, id: ArchiveId, type: ChecksumType): Promise<Checksum> {
  const file = await archive.open(id);
  try {
    return await archive.computeChecksum(file, type);
  } finally {
    await file.close();
  }
}

/** Letter for letter what old carts read, the triple s included. */
function statusHeaders(status: FileStatus): Record<string, string> {
  const { size, bytesPerLevel, media, etag } = status;
  const levels = bytesPerLevel.length === 1 ? `${bytesPerLevel.join('')},` : bytesPerLevel.join(', ');
  return {
    'Content-Type': 'application/json',
    'X-Pacifica-Messsage': 'File was found',
    'X-Pacifica-Message': 'File was found',
    'X-Pacifica-File': printable(status.path),
    'X-Content-Length': String(size),
    'Last-Modified': seconds(status.mtimeMs),
    'X-Pacifica-Ctime': seconds(status.ctimeMs),
    'X-Pacifica-Bytes-Per-Level': `(${levels})`,
    'X-Pacifica-File-Storage-Media': media,
    ETag: `"${etag}"`,
    'Accept-Ranges': 'bytes',
  };
}

/** As Python writes a float: a whole number keeps its `.0`. */
function seconds(ms: number): string {
  const value = ms / 1000;
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** RFC 9110, 5.5: a header holds ASCII; other letters of a path are percent-encoded. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/gu, (part) => encodeURIComponent(part));
}

async function putFile(ctx: Context, id: ArchiveId, parts: ArchiveAppParts): Promise<void> {
  const { headers } = ctx.req;
  // RFC 9110, 14.4: a part of a file, taken for the whole, would destroy it
  if (headers['content-range'] !== undefined) {
    throw new PacificaError('invalid', 'a part of a file can not be stored (Content-Range)');
  }
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (coding !== 'identity')
    throw new HttpError(415, `Content-Encoding ${coding} is not taken: send the file as it is`);
  const length = headers['content-length'];
  const size = length === undefined ? undefined : Number(length);
  const modified = headers['last-modified'];
  const mtimeMs = modified === undefined ? undefined : requireHttpDate('Last-Modified', modified);
  const checksums = announcedChecksums(headers);
  const stored = await changing(ctx, parts, (change) =>
    parts.archive.put(id, requestBlocks(ctx.req), { ...change, size, mtimeMs, checksums }),
  );
  ctx.set('ETag', `"${stored.etag}"`);
  answerJson(ctx, 201, { message: 'File added to archive', total_bytes: String(stored.size) });
}

async function stageFile(ctx: Context, id: ArchiveId, { archive }: ArchiveAppParts): Promise<void> {
  await archive.stage([id]);
  answerJson(ctx, 200, { message: 'File was staged', file: `/${id}` });
}

async function moveFile(ctx: Context, id: ArchiveId, parts: ArchiveAppParts): Promise<void> {
  const body = await readJsonBody(ctx.req, PATCH_LIMIT);
  const path = typeof body === 'object' && body !== null && 'path' in body ? body.path : undefined;
  if (typeof path !== 'string' || path === '') {
    throw new PacificaError('invalid', 'the body has no "path"', { hint: 'send {"path": "/srv/incoming/12345"}' });
  }
  await changing(ctx, parts, (change) => parts.archive.move(id, path, change));
  answerJson(ctx, 200, { message: 'File Moved Successfully' });
}

async function deleteFile(ctx: Context, id: ArchiveId, { archive }: ArchiveAppParts): Promise<void> {
  await archive.delete(id, { condition: conditionOf(ctx) });
  ctx.status = 200;
  ctx.set('Content-Type', 'application/json');
  ctx.body = '';
}

/** Runs a change under what the site (write-once) and the request (RFC 9110, 13.1) demand of the file that is there. */
async function changing<T>(
  ctx: Context,
  { writeOnce }: ArchiveAppParts,
  change: (options: { mode: PutOptions['mode']; condition?: Condition }) => Promise<T>,
): Promise<T> {
  const createOnly = ctx.get('If-None-Match').trim() === '*';
  try {
    return await change({ mode: writeOnce || createOnly ? 'exclusive' : 'replace', condition: conditionOf(ctx) });
  } catch (error) {
    if (createOnly && error instanceof PacificaError && error.code === 'exists') {
      throw new PacificaError('precondition', error.message, { cause: error });
    }
    throw error;
  }
}

function conditionOf({ req: { headers } }: Context): Condition | undefined {
  const noneMatch = headers['if-none-match'];
  if (noneMatch === undefined && headers['if-match'] === undefined && headers['if-unmodified-since'] === undefined) {
    return undefined;
  }
  return (current) => {
    if (current === undefined) {
      if (headers['if-match'] !== undefined) throw new PacificaError('precondition', 'there is no file to replace');
      return;
    }
    checkPreconditions(headers, current);
    if (noneMatch !== undefined && !matchesNone(noneMatch, current)) {
      throw new PacificaError('precondition', 'the file is there already');
    }
  };
}

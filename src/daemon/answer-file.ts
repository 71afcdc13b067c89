import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Context } from 'koa';
import type { ArchiveFile } from '../archive/archive.js';
import { type ByteRange, parseRangeHeader } from '../lib/byte-range.js';
import { PacificaError } from '../lib/errors.js';
import { formatHttpDate, parseHttpDate } from '../lib/http-date.js';
import type { RandomReader } from '../lib/random-reader.js';
import { ByteRanges } from './byteranges.js';
import { sendRange, sendStream } from './send.js';

/** What of a file decides about conditions and ranges. */
export interface FileFacts {
  /** length in bytes */
  readonly size: number;
  /** strong validator without quotes */
  readonly etag: string;
  /** ms since 1970 */
  readonly mtimeMs: number;
}

/** ranges of one request that are answered; who asks for more gets the whole */
const MOST_RANGES = 16;

/**
 * Answers a GET or HEAD of a file: its validators, conditions (RFC 9110, 13.2.2: 304 and 412) and ranges (14: 206, 416).
 * What else describes the file (type, disposition) is set before.
 * @param send sends bytes `[start, end)` and ends the response; not called when no bytes are to go out
 * @param reader the file, where any place of it can be read: several ranges are answered then, else with the whole
 */
export async function answerFile(
  ctx: Context,
  facts: FileFacts,
  send: (res: ServerResponse, start: number, end: number) => Promise<void>,
  reader?: RandomReader,
): Promise<void> {
  const { size } = facts;
  const headers = ctx.req.headers;
  ctx.set('ETag', `"${facts.etag}"`);
  ctx.set('Last-Modified', formatHttpDate(facts.mtimeMs));
  ctx.set('Accept-Ranges', 'bytes');
  checkPreconditions(headers, facts);
  if (isNotModified(headers, facts)) {
    ctx.status = 304;
    return;
  }
  const limit = reader === undefined ? 1 : MOST_RANGES;
  const ranges = ctx.method === 'GET' && rangeApplies(headers, facts) ? rangesOf(ctx, size, limit) : undefined;
  ctx.status = ranges === undefined ? 200 : 206;
  ctx.respond = false;
  if (ranges !== undefined && ranges.length > 1 && reader !== undefined) {
    const parts = new ByteRanges(reader, ranges, ctx.response.get('Content-Type'));
    ctx.set('Content-Type', parts.type);
    ctx.set('Content-Length', String(parts.size));
    await sendRange(ctx.res, parts, 0, parts.size);
    return;
  }
  const { start, end } = ranges?.[0] ?? { start: 0, end: size };
  if (ranges !== undefined) ctx.set('Content-Range', `bytes ${start}-${end - 1}/${size}`);
  ctx.set('Content-Length', String(end - start));
  if (ctx.method === 'HEAD') ctx.res.end();
  else await send(ctx.res, start, end);
}

/** Sends bytes `[start, end)` of a file in the way that costs least. */
export async function sendFile(res: ServerResponse, file: ArchiveFile, start: number, end: number): Promise<void> {
  if (file.reader !== undefined) await sendRange(res, file.reader, start, end);
  else await sendStream(res, file.stream(start, end));
}

function rangesOf(ctx: Context, size: number, limit: number): ByteRange[] | undefined {
  try {
    return parseRangeHeader(ctx.req.headers.range, size, limit);
  } catch (error) {
    // RFC 9110, 15.5.17: 416 says how long the file is
    ctx.set('Content-Range', `bytes */${size}`);
    throw error;
  }
}

/**
 * RFC 9110, 13.1.1 and 13.1.4
 * @throws PacificaError `precondition`
 */
export function checkPreconditions(headers: IncomingHttpHeaders, facts: FileFacts): void {
  const match = headers['if-match'];
  const unmodifiedSince = parseHttpDate(headers['if-unmodified-since'] ?? '');
  const holds =
    match === undefined
      ? unmodifiedSince === undefined || seconds(facts.mtimeMs) <= unmodifiedSince
      : match.trim() === '*' || tags(match).includes(`"${facts.etag}"`);
  if (!holds) throw new PacificaError('precondition', 'the file is another one than the request is about');
}

/** RFC 9110, 13.1.2 (weak comparison) and 13.1.3 */
function isNotModified(headers: IncomingHttpHeaders, facts: FileFacts): boolean {
  const noneMatch = headers['if-none-match'];
  if (noneMatch !== undefined) return !matchesNone(noneMatch, facts);
  const modifiedSince = parseHttpDate(headers['if-modified-since'] ?? '');
  return modifiedSince !== undefined && seconds(facts.mtimeMs) <= modifiedSince;
}

/** RFC 9110, 13.1.2, for a file that is there. @returns whether the condition of an If-None-Match header holds */
export function matchesNone(header: string, { etag }: FileFacts): boolean {
  return header.trim() !== '*' && !tags(header).some((tag) => tag.replace(/^W\//, '') === `"${etag}"`);
}

/** RFC 9110, 13.1.5: strong comparison, a date only when it is the very one */
function rangeApplies(headers: IncomingHttpHeaders, facts: FileFacts): boolean {
  const ifRange = headers['if-range']?.toString().trim();
  if (ifRange === undefined) return true;
  return ifRange === `"${facts.etag}"` || parseHttpDate(ifRange) === seconds(facts.mtimeMs);
}

function tags(list: string): string[] {
  return list.match(/(?:W\/)?"[^"]*"/g) ?? [];
}

/** HTTP dates have whole seconds */
function seconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

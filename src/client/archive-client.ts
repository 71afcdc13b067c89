import { createHash } from 'node:crypto';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { type Digest, formatDigestField, parseDigestField } from '../lib/digest-field.js';
import { PacificaError } from '../lib/errors.js';
import { formatHttpDate, parseHttpDate } from '../lib/http-date.js';
import { type RestOf, restHeaders } from './download.js';
import { HttpClient, type HttpRequest, type HttpResponse, ServiceError } from './http.js';

/** ms of waiting for an answer that comes after the other side has written, copied or flushed a whole file */
const SLOW_ANSWER = 30 * 60_000;

export interface PutRequest {
  /** length in bytes; without it the body is sent chunked, which an original archive interface refuses */
  size?: number;
  /** modification time to keep, ms since 1970 */
  mtimeMs?: number;
  /** hash of the body, for the archive to check: Content-Digest (RFC 9530); an original does not look at it */
  digest?: Digest;
  /** fail with `exists` when the id is taken; an original overwrites all the same */
  create?: boolean;
  signal?: AbortSignal;
}

/** What HEAD tells (wire.md, archive part); field by field as storage/backends has it. */
export interface ArchiveFileStatus {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly bytesPerLevel: readonly number[];
  readonly media: 'disk' | 'tape';
  readonly path: string;
  /** the archive's own strong ETag without quotes; made of size and times where an original gives none */
  readonly etag: string;
  /** whether the archive gave the etag itself, so that it understands conditions on it */
  readonly hasEtag: boolean;
  /** hash of the bytes, where the archive has one on record */
  readonly digest: Digest | undefined;
}

/**
 * Talks to an archive interface: ours or an original one. Nothing is tried twice here; all but {@link put} may be.
 * A file that is not there is `not-found`, also where an original answers 500.
 */
export class ArchiveClient {
  readonly #http = new HttpClient('the archive');
  readonly #url: string;

  /** @param url base URL */
  constructor(url: string) {
    this.#url = url.replace(/\/+$/, '');
  }

  /**
   * Stores a file.
   * @returns the bytes that the archive says it has written
   * @throws PacificaError `exists`, `no-space`, and what `body` throws
   */
  async put(
    id: ArchiveId,
    body: AsyncIterable<Uint8Array> | Buffer,
    { size, mtimeMs, digest, create, signal }: PutRequest = {},
  ): Promise<{ size: number }> {
    const headers: Record<string, string> = { 'content-type': 'application/octet-stream' };
    if (mtimeMs !== undefined) headers['last-modified'] = formatHttpDate(mtimeMs);
    const digestField = digest === undefined ? undefined : formatDigestField(digest);
    if (digestField !== undefined) headers['content-digest'] = digestField;
    if (create === true) headers['if-none-match'] = '*';
    const response = await this.#request(id, {
      method: 'PUT',
      headers,
      body,
      size,
      signal,
      headersTimeout: SLOW_ANSWER,
    });
    if (create === true && response.status === 412) {
      await response.discard();
      throw new PacificaError('exists', `file ${id} is in the archive already`);
    }
    if (![200, 201].includes(response.status)) throw await this.#http.serviceError(response);
    const written = totalBytes(await response.json());
    if (written === undefined || (size !== undefined && written !== size)) {
      throw new PacificaError(
        'bad-gateway',
        `the archive at ${this.#url} says that it stored ${written ?? 'nothing'} of the ${size ?? ''} bytes of file ${id}`,
      );
    }
    return { size: written };
  }

  /**
   * Asks for a file's bytes. Resolves with 200 or 206 only.
   * @param options.range bytes `[start, end)`, which lie within the file: an original goes astray beyond its end. The
   * old client's own parameter is used, which every archive interface knows
   * @param options.rest the rest of what was partly fetched; an original answers with the whole
   * @param options.ifMatch etag that the file must still have: `precondition` otherwise
   */
  async get(
    id: ArchiveId,
    options: { range?: { start: number; end: number }; rest?: RestOf; ifMatch?: string; signal?: AbortSignal } = {},
  ): Promise<HttpResponse> {
    const { range, rest, ifMatch, signal } = options;
    const headers = restHeaders(rest);
    if (ifMatch !== undefined) headers['if-match'] = `"${ifMatch}"`;
    const query = range === undefined ? '' : `?byte_range=${range.start}-${range.end}`;
    const response = await this.#request(id, { method: 'GET', headers, signal }, query);
    if (![200, 206].includes(response.status)) throw await this.#fileError(id, response);
    return response;
  }

  /** Tells about a file without reading it. */
  async status(id: ArchiveId, signal?: AbortSignal): Promise<ArchiveFileStatus> {
    const response = await this.#request(id, { method: 'HEAD', signal });
    if (![200, 204].includes(response.status)) {
      await response.discard();
      throw response.status === 500 ? await this.#whyNot(id, signal) : await this.#fileError(id, response);
    }
    await response.discard();
    return this.#parseStatus(id, response);
  }

  /** Asks for a file to be brought to disk; does not wait for it. */
  async stage(id: ArchiveId, signal?: AbortSignal): Promise<void> {
    // an original demands a length, also where there is no body
    const response = await this.#request(id, { method: 'POST', body: '', size: 0, signal });
    if (response.status !== 200 && response.status !== 202) throw await this.#fileError(id, response);
    await response.discard();
  }

  /**
   * Takes in a file that lies on the archive's machine.
   * @throws PacificaError `not-found` (no such path), `forbidden`, `exists`
   */
  async move(id: ArchiveId, path: string, options: { create?: boolean; signal?: AbortSignal } = {}): Promise<void> {
    const response = await this.#request(id, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json', ...(options.create === true && { 'if-none-match': '*' }) },
      body: JSON.stringify({ path }),
      headersTimeout: SLOW_ANSWER,
      signal: options.signal,
    });
    if (options.create === true && response.status === 412) {
      await response.discard();
      throw new PacificaError('exists', `file ${id} is in the archive already`);
    }
    if (response.status !== 200) {
      const error = await this.#http.serviceError(response);
      throw saysMissing(error) ? new PacificaError('not-found', `there is no file ${path}`, { cause: error }) : error;
    }
    await response.discard();
  }

  async delete(id: ArchiveId, signal?: AbortSignal): Promise<void> {
    const response = await this.#request(id, { method: 'DELETE', signal });
    if (![200, 204].includes(response.status)) throw await this.#fileError(id, response);
    await response.discard();
  }

  /**
   * Deletes a file, for the `attempt`th time: that it is not there any more the second time is no failure.
   * @param attempt number of the try, from 1
   */
  async deleteAgain(id: ArchiveId, attempt: number, signal?: AbortSignal): Promise<void> {
    try {
      await this.delete(id, signal);
    } catch (error) {
      // deleted the first time, only the answer was lost
      if (!(attempt > 1 && error instanceof PacificaError && error.code === 'not-found')) throw error;
    }
  }

  /** Cuts all connections. */
  async close(): Promise<void> {
    await this.#http.close();
  }

  #request(id: ArchiveId, request: Omit<HttpRequest, 'url'>, query = ''): Promise<HttpResponse> {
    return this.#http.request({ ...request, url: `${this.#url}/${encodeURIComponent(parseArchiveId(id))}${query}` });
  }

  async #fileError(id: ArchiveId, response: HttpResponse): Promise<PacificaError> {
    const error = await this.#http.serviceError(response);
    return error.code === 'not-found' || saysMissing(error) ? missing(id, error) : error;
  }

  /** An original's HEAD answers 500 to everything, without a body: its GET tells why, and reads nothing for it. */
  async #whyNot(id: ArchiveId, signal: AbortSignal | undefined): Promise<PacificaError> {
    const response = await this.#request(id, { method: 'GET', signal }, '?byte_range=0-0');
    if (response.status !== 200) return this.#fileError(id, response);
    await response.discard();
    return new PacificaError('bad-gateway', `the archive at ${this.#url} can not tell about file ${id}, which it has`);
  }

  #parseStatus(id: ArchiveId, response: HttpResponse): ArchiveFileStatus {
    const size = Number(response.header('x-content-length') ?? Number.NaN);
    const mtimeMs = parseTime(response.header('last-modified'));
    if (!Number.isSafeInteger(size) || size < 0 || mtimeMs === undefined) {
      throw new PacificaError(
        'bad-gateway',
        `the archive at ${this.#url} tells neither size nor time of file ${id}: is it an archive interface?`,
      );
    }
    const ctimeMs = parseTime(response.header('x-pacifica-ctime')) ?? mtimeMs;
    const strong = /^"([^"]*)"$/.exec(response.header('etag') ?? '')?.[1];
    return {
      size,
      mtimeMs,
      ctimeMs,
      bytesPerLevel: parseLevels(response.header('x-pacifica-bytes-per-level')) ?? [size],
      media: response.header('x-pacifica-file-storage-media')?.toLowerCase() === 'tape' ? 'tape' : 'disk',
      path: response.header('x-pacifica-file') ?? '',
      etag: strong ?? createHash('sha256').update(`${size} ${mtimeMs} ${ctimeMs}`).digest('base64url').slice(0, 27),
      hasEtag: strong !== undefined,
      digest: parseDigestField(response.header('repr-digest')),
    };
  }
}

function missing(id: ArchiveId, cause: unknown): PacificaError {
  return new PacificaError('not-found', `file ${id} is not in the archive`, { cause });
}

/** An original says 500 for a missing file; only its traceback tells. */
function saysMissing(error: PacificaError): boolean {
  return error instanceof ServiceError && error.status === 500 && /\bErrno 2\b|No such file/.test(error.traceback);
}

/** The documents have a string there, the original a number. */
function totalBytes(body: unknown): number | undefined {
  if (typeof body !== 'object' || body === null || !('total_bytes' in body)) return undefined;
  const written = Number(body.total_bytes);
  return Number.isSafeInteger(written) ? written : undefined;
}

/** Seconds with decimals as HEAD has them, an HTTP date, or C's ctime form. @returns ms since 1970 */
function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  return /^-?[0-9]+(\.[0-9]+)?(e[0-9]+)?$/.test(text) ? Number(text) * 1000 : parseHttpDate(text);
}

/** A Python tuple of bytes per level: `(18,)`, `(0, 18)`. */
function parseLevels(text: string | undefined): number[] | undefined {
  const match = /^\(\s*([0-9]+(?:\s*,\s*[0-9]+)*)?\s*,?\s*\)$/.exec(text ?? '');
  return match?.[1]?.split(',').map(Number);
}

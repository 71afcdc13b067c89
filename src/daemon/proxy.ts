import type { IncomingHttpHeaders } from 'node:http';
import { relative, sep } from 'node:path';
import Router from '@koa/router';
import contentDisposition from 'content-disposition';
import type Koa from 'koa';
import type { Archive, ArchiveFile } from '../archive/archive.js';
import type { Metadata } from '../catalog/catalog.js';
import type { ArchiveId } from '../lib/archive-id.js';
import { type Checksum, checksumReader, type ChecksumType } from '../lib/checksum.js';
import { normalizeHash } from '../lib/digest.js';
import type { Digest } from '../lib/digest-field.js';
import { PacificaError } from '../lib/errors.js';
import { formatHttpDate } from '../lib/http-date.js';
import type { FileStatus } from '../storage/backends/backend.js';
import { answerFile } from './answer-file.js';
import { type AppOptions, createApp } from './app.js';
import { BehindUs } from './behind-us.js';
import { checksumHeaders } from './digest-headers.js';
import { HttpError } from './errors.js';
import { findFile } from './find-file.js';
import { sendRange, sendStream } from './send.js';
import { StageRequests, waitFor } from './stage-requests.js';

export interface ProxyParts {
  readonly metadata: Pick<Metadata, 'files'>;
  readonly archive: Archive;
  /** answer with `X-Accel-Redirect`, and let nginx fetch the bytes from the archive interface (`[nginx] accel`) */
  readonly accel: boolean;
  /** where nginx has the folder of a local archive, like `/archive_files`; empty: nowhere (`[nginx] accel_root`) */
  readonly accelRoot: string;
  /** ms that a request waits for a file on tape before it is told to come again (`[proxy] stage_wait`) */
  readonly stageWaitMs: number;
  /** ms that each call to metadata or archive gets; {@link ANSWER_LIMIT} when absent */
  readonly answerLimitMs?: number;
}

/** ms: less than web servers in front wait for us (nginx: 60 s), who would answer with pages of their own then */
const ANSWER_LIMIT = 20_000;
/** seconds until it is worth asking again for a file on tape */
const TAPE_RETRY = 30;

/** A file that can be sent now. */
interface There {
  readonly status: FileStatus;
  /** when we send it ourselves */
  readonly opened?: ArchiveFile;
  /** when nginx sends it */
  readonly redirect?: string;
}

/** Hands out a file by its hash (wire.md, proxy part). */
export function proxyApp(options: AppOptions, parts: ProxyParts): Koa {
  const { archive, accel, accelRoot, stageWaitMs, answerLimitMs = ANSWER_LIMIT } = parts;
  const archiveService = new BehindUs('archive', answerLimitMs);
  const metadataService = new BehindUs('metadata service', answerLimitMs);
  const metadata: ProxyParts['metadata'] = {
    files: (query) => metadataService.call(() => parts.metadata.files(query)),
  };
  const staging = new StageRequests(archive, archiveService);

  async function statusOf(id: ArchiveId): Promise<There | undefined> {
    const status = await archiveService.call(() => archive.status(id));
    return status.media === 'tape' ? undefined : { status };
  }

  async function open(id: ArchiveId): Promise<There | undefined> {
    try {
      const opened = await archiveService.call(
        () => archive.open(id),
        (late) => void late.close().catch(() => undefined),
      );
      if (opened.status.media === 'disk') return { status: opened.status, opened };
      await opened.close();
      return undefined;
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-ready') return undefined;
      throw error;
    }
  }

  /** For nginx: straight from the folder where it can, else from the archive interface. */
  async function redirect(id: ArchiveId): Promise<There | undefined> {
    const there = await statusOf(id);
    const { localRoot } = archive;
    if (there === undefined || accelRoot === '' || localRoot === undefined) {
      return there && { ...there, redirect: `/archivei_accel/${id}` };
    }
    const path = await archiveService.call(async () => archive.localPath?.(id));
    const names = relative(localRoot, path ?? '').split(sep);
    // nginx takes the escapes back
    return { ...there, redirect: [accelRoot, ...names.map(encodeURIComponent)].join('/') };
  }

  /** Asks for a file on tape, and waits for it as long as the site wants. */
  async function recall(
    ctx: Koa.Context,
    id: ArchiveId,
    look: (id: ArchiveId) => Promise<There | undefined>,
  ): Promise<There | undefined> {
    await staging.ask(id);
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    ctx.res.once('close', onClose);
    try {
      return await waitFor(() => look(id), stageWaitMs, gone.signal);
    } finally {
      ctx.res.off('close', onClose);
    }
  }

  const router = new Router();

  router.get('/', (ctx) => {
    ctx.body = { message: 'Pacifica Proxy Up and Running' };
  });

  router.get('/files/:hashtype/:hashsum', async (ctx) => {
    const hash = parseHash(ctx.params.hashtype ?? '', ctx.params.hashsum ?? '');
    const redirects = accel || (accelRoot !== '' && archive.localRoot !== undefined);
    // nginx does not know our validators: conditions are for us to decide; so is a HEAD, which costs nothing
    const look = ctx.method === 'HEAD' ? statusOf : redirects && !isConditional(ctx.req.headers) ? redirect : open;
    const found = await findFile(metadata, hash, look);
    if (found === undefined) throw notThere();
    const { id, file } = found;
    const there = found.there ?? (ctx.method === 'GET' ? await recall(ctx, id, look) : undefined);
    if (there === undefined) {
      ctx.status = 202;
      ctx.set('Retry-After', String(TAPE_RETRY));
      ctx.body = { message: 'The file is on tape and was asked for. Try again later.' };
      return;
    }
    const { opened } = there;
    try {
      ctx.type = 'application/octet-stream';
      ctx.set('Content-Disposition', disposition(file.name));
      // the bytes of a hash never change (RFC 8246)
      ctx.set('Cache-Control', 'max-age=31536000, immutable');
      ctx.set(await digests(ctx.req.headers, hash, opened));
      // the archive knows the size; the metadata was only told one
      const { size, mtimeMs } = there.status;
      if (there.redirect !== undefined) {
        ctx.set('X-Accel-Redirect', there.redirect);
        ctx.set('ETag', `"${hash.sum}"`);
        ctx.set('Last-Modified', formatHttpDate(mtimeMs));
        ctx.set('Accept-Ranges', 'bytes');
        ctx.body = '';
        return;
      }
      await answerFile(
        ctx,
        { size, mtimeMs, etag: hash.sum },
        async (res, start, end) => {
          if (opened?.reader !== undefined) await sendRange(res, opened.reader, start, end);
          else if (opened !== undefined) await sendStream(res, archiveService.pieces(opened.stream(start, end)));
        },
        opened?.reader,
      );
    } finally {
      await opened?.close();
    }
  });

  const app = createApp(options);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

/** What can be no hash of a file is the hash of no file. */
function parseHash(hashtype: string, hashsum: string): Digest {
  try {
    return normalizeHash(hashtype, hashsum);
  } catch (error) {
    if (error instanceof PacificaError) throw notThere();
    throw error;
  }
}

function notThere(): HttpError {
  return new HttpError(404, 'File does not exist.');
}

/** RFC 9110, 13.1 */
function isConditional(headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some((name) => name.startsWith('if-'));
}

/** The hash as the request wants it; a checksum of another type only where the bytes are at hand. */
async function digests(
  headers: IncomingHttpHeaders,
  hash: Digest,
  opened: ArchiveFile | undefined,
): Promise<Record<string, string>> {
  const reader = opened?.reader;
  const compute = async (type: ChecksumType): Promise<Checksum> =>
    reader === undefined ? hash : { type, sum: await checksumReader(reader, type) };
  return checksumHeaders(headers, hash, compute, headers.range === undefined);
}

/** RFC 6266: the name in ASCII for old clients and, where that is another one, the real one in UTF-8. */
function disposition(name: string): string {
  const clean = name.replace(/[\p{Cc}\p{Cs}/\\]/gu, '_');
  const safe = /^\.*$/.test(clean) ? 'file' : clean;
  return contentDisposition(safe, { fallback: safe.replace(/[^ -~]/gu, '_') });
}

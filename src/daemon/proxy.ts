import Router from '@koa/router';
import contentDisposition from 'content-disposition';
import type Koa from 'koa';
import type { Archive } from '../archive/archive.js';
import type { Metadata } from '../catalog/catalog.js';
import type { ArchiveId } from '../lib/archive-id.js';
import { normalizeHash } from '../lib/digest.js';
import { type Digest, formatDigestField } from '../lib/digest-field.js';
import { PacificaError } from '../lib/errors.js';
import { answerFile, sendFile } from './answer-file.js';
import { type AppOptions, createApp } from './app.js';
import { HttpError } from './errors.js';
import { behindUs, type Candidate, findCandidates, openFirst } from './find-file.js';

export interface ProxyParts {
  metadata: Pick<Metadata, 'files'>;
  archive: Archive;
  /** answer with `X-Accel-Redirect`, and let nginx fetch the bytes (`[nginx] accel`) */
  accel: boolean;
}

/** seconds until it is worth asking again for a file on tape */
const TAPE_RETRY = 30;
/** ms after which a file on tape is asked for once more */
const STAGE_AGAIN = 10 * 60_000;

/** Hands out a file by its hash (wire.md, proxy part). */
export function proxyApp(options: AppOptions, { metadata, archive, accel }: ProxyParts): Koa {
  const router = new Router();
  const staging = new StageRequests(archive);

  router.get('/', (ctx) => {
    ctx.body = { message: 'Pacifica Proxy Up and Running' };
  });

  router.get('/files/:hashtype/:hashsum', async (ctx) => {
    const hash = parseHash(ctx.params.hashtype ?? '', ctx.params.hashsum ?? '');
    const candidates = findCandidates(metadata, archive, hash);
    // only a GET that we answer ourselves needs the bytes
    const opens = ctx.method === 'GET' && !accel;
    const found = opens ? await openFirst(candidates, archive) : await first(candidates);
    if (found === undefined) throw notThere();
    const { candidate, opened } = found;
    try {
      if (candidate.status.media === 'tape') {
        await staging.ask(candidate.id);
        ctx.status = 202;
        ctx.set('Retry-After', String(TAPE_RETRY));
        ctx.body = { message: 'The file is on tape and was asked for. Try again later.' };
        return;
      }
      describe(ctx, candidate, hash);
      if (accel) {
        ctx.set('X-Accel-Redirect', `/archivei_accel/${candidate.id}`);
        ctx.body = '';
        return;
      }
      // the archive knows the size; the metadata was only told one
      const { size, mtimeMs } = opened?.status ?? candidate.status;
      await answerFile(ctx, { size, mtimeMs, etag: hash.sum }, async (res, start, end) => {
        if (opened !== undefined) await behindUs('archive', () => sendFile(res, opened, start, end));
      });
    } finally {
      await opened?.close();
    }
  });

  const app = createApp(options);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

async function first(
  candidates: AsyncIterable<Candidate>,
): Promise<{ candidate: Candidate; opened?: undefined } | undefined> {
  for await (const candidate of candidates) return { candidate };
  return undefined;
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

/** Headers that hold whichever of the files with this hash is sent. */
function describe(ctx: Koa.Context, { file }: Candidate, hash: Digest): void {
  ctx.type = 'application/octet-stream';
  ctx.set('Content-Disposition', disposition(file.name));
  // the bytes of a hash never change (RFC 8246)
  ctx.set('Cache-Control', 'max-age=31536000, immutable');
  const digest = formatDigestField(hash);
  if (digest !== undefined) ctx.set('Repr-Digest', digest);
}

/** RFC 6266: the name in ASCII for old clients and, where that is another one, the real one in UTF-8. */
function disposition(name: string): string {
  const clean = name.replace(/[\p{Cc}\p{Cs}/\\]/gu, '_');
  const safe = /^\.*$/.test(clean) ? 'file' : clean;
  return contentDisposition(safe, { fallback: safe.replace(/[^ -~]/gu, '_') });
}

/** Asks for files on tape, each one once in a while however often its client comes back. */
class StageRequests {
  readonly #archive: Pick<Archive, 'stage'>;
  /** ms of the monotonic clock when each was asked for, the oldest first */
  readonly #asked = new Map<ArchiveId, number>();

  constructor(archive: Pick<Archive, 'stage'>) {
    this.#archive = archive;
  }

  async ask(id: ArchiveId): Promise<void> {
    const now = performance.now();
    for (const [old, at] of this.#asked) {
      if (now - at < STAGE_AGAIN) break;
      this.#asked.delete(old);
    }
    if (this.#asked.has(id)) return;
    this.#asked.set(id, now);
    try {
      await behindUs('archive', () => this.#archive.stage([id]));
    } catch (error) {
      this.#asked.delete(id);
      throw error;
    }
  }
}

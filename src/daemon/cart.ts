import Router from '@koa/router';
import contentDisposition from 'content-disposition';
import type Koa from 'koa';
import { manifestLine } from '../cart/manifest.js';
import { oneLine } from '../cart/message.js';
import type { CartDownload, CartService } from '../cart/service.js';
import { messageOf, PacificaError } from '../lib/errors.js';
import type { JobRetries } from '../lib/job-queue.js';
import { version } from '../lib/version.js';
import type { Cart, CartFile, CartStatus } from '../storage/database/carts.js';
import { answerFile } from './answer-file.js';
import { type AppOptions, createApp } from './app.js';
import { errorBody, HttpError, statusOf } from './errors.js';
import { queryText } from './query.js';
import { limitedBody } from './request-body.js';
import { sendRange, sendStream } from './send.js';

export interface CartAppParts {
  readonly service: CartService;
  /** largest list of files that is taken, bytes */
  readonly bodyLimit: number;
}

const GONE = 'The cart does not exist or has already been deleted';
/** bytes that are gathered before they are sent */
const PIECE = 64 * 1024;
/** against a list that is too long */
const REMEDY = 'ask for several carts, or raise [cartd] body_limit';
/** RFC 9110, 5.6.2 */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The cart service's routes (wire.md, cart part). */
export function cartApp(options: AppOptions, { service, bodyLimit }: CartAppParts): Koa {
  const router = new Router();

  router.get('/', (ctx) => tell(ctx, 200, 'Pacifica Cartd Interface Up and Running'));

  router.post('/:uid', async (ctx) => {
    await service.create(ctx.params.uid ?? '', limitedBody(ctx.req, bodyLimit, REMEDY));
    tell(ctx, 201, 'Cart Processing has begun');
  });

  router.head('/:uid', async (ctx) => {
    const uid = ctx.params.uid ?? '';
    // the old client reads both headers whatever the status
    const say = (status: CartStatus, message: string): void =>
      ctx.set({ 'X-Pacifica-Status': status, 'X-Pacifica-Message': message });
    try {
      const cart = await service.find(uid);
      if (cart === undefined) throw new HttpError(404, `No cart with uid ${uid} found`);
      say(statusHeader(cart), cart.message);
      ctx.set(progressHeaders(cart));
      if (cart.status === 'error') {
        tellFailure(ctx, cart, options.debug);
        return;
      }
      ctx.status = 204;
      ctx.set('Content-Type', 'application/json');
      // Koa would take the type away from an answer without a body; the originals send it
      ctx.respond = false;
      ctx.res.end();
    } catch (error) {
      if (!ctx.res.hasHeader('X-Pacifica-Status')) {
        say('error', statusOf(error) < 500 ? oneLine(messageOf(error)) : 'The cart service can not tell now');
      }
      throw error;
    }
  });

  router.get('/:uid', async (ctx) => {
    const cart = await readyCart(service, ctx, options.debug);
    if (cart === undefined) return;
    const filename = queryText(ctx, 'filename');
    const download = await readable(() => service.download(cart, filename));
    if (download === undefined) throw new HttpError(404, GONE);
    try {
      // RFC 8288 and its register: where the hashes of what is in it are told
      ctx.set('Link', `<${cart.uid}/manifest>; rel="describedby"; type="text/plain"`);
      await readable(() => answerDownload(ctx, download));
    } finally {
      await download.close();
    }
  });

  router.delete('/:uid', async (ctx) => {
    await service.remove(ctx.params.uid ?? '');
    tell(ctx, 200, 'Cart Deleted Successfully');
  });

  router.get('/:uid/status', async (ctx) => {
    const cart = await service.find(ctx.params.uid ?? '');
    if (cart === undefined) throw new HttpError(404, GONE);
    const text = statusText(cart, await service.retries(cart), service.failures(cart));
    await sendText(ctx, 'application/json', text);
  });

  router.get('/:uid/manifest', async (ctx) => {
    const cart = await readyCart(service, ctx, options.debug);
    if (cart === undefined) return;
    await sendText(ctx, 'text/plain; charset=utf-8', manifestText(service.files(cart)));
  });

  const app = createApp(options);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

/** The failure of a cart is no failure of the service: nothing for its log. */
function tellFailure(ctx: Koa.Context, { message }: Cart, debug: boolean): void {
  ctx.status = 500;
  ctx.body = errorBody(new HttpError(500, message), version, debug);
}

/** @returns the ready cart; undefined when it is not ready and that is answered */
async function readyCart(
  service: CartService,
  ctx: Koa.ParameterizedContext & { params: { uid?: string } },
  debug: boolean,
): Promise<Cart | undefined> {
  const cart = await service.find(ctx.params.uid ?? '');
  if (cart === undefined) throw new HttpError(404, GONE);
  if (cart.status === 'ready') return cart;
  if (cart.status === 'error') tellFailure(ctx, cart, debug);
  else tell(ctx, 202, 'The cart is not ready for download.');
  return undefined;
}

/** Answers with the tar, or the ranges of it that are asked for. */
async function answerDownload(ctx: Koa.Context, { fileName, etag, lastModified, reader }: CartDownload): Promise<void> {
  ctx.set('Content-Type', 'application/octet-stream');
  ctx.set('Content-Disposition', disposition(fileName));
  const facts = { size: reader.size, etag, mtimeMs: lastModified };
  await answerFile(ctx, facts, (res, start, end) => sendRange(res, reader, start, end), reader);
}

/** A plain name as the originals send it, any other one by RFC 6266. */
function disposition(fileName: string): string {
  return TOKEN.test(fileName) ? `attachment; filename=${fileName}` : contentDisposition(fileName);
}

/** What can not be read on the volume is our own fault, not one of the request. */
async function readable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PacificaError && ['integrity', 'not-found'].includes(error.code)) {
      throw new PacificaError('internal', `the cart can not be read: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/** Deployed downloaders take every other word than `staging` for the end (wire.md, cart part). */
function statusHeader({ status, bundleAsked }: Cart): CartStatus {
  return status === 'waiting' || (status === 'bundling' && !bundleAsked) ? 'staging' : status;
}

function progressHeaders({ filesReady, filesTotal, bytesReady, bytesTotal }: Cart): Record<string, string> {
  return {
    'X-Pacifica-Files-Ready': String(filesReady),
    'X-Pacifica-Files-Total': String(filesTotal),
    'X-Pacifica-Bytes-Ready': String(bytesReady),
    ...(bytesTotal !== null && { 'X-Pacifica-Bytes-Total': String(bytesTotal) }),
  };
}

async function* statusText(
  cart: Cart,
  retries: JobRetries | undefined,
  failures: AsyncIterable<CartFile>,
): AsyncGenerator<string> {
  const { uid, status, message, bundle, created, updated, ready, downloaded } = cart;
  const head = {
    uid,
    status,
    message,
    bundle,
    created: time(created),
    updated: time(updated),
    ready: time(ready),
    downloaded: time(downloaded),
    files: { total: cart.filesTotal, ready: cart.filesReady },
    bytes: { total: cart.bytesTotal, ready: cart.bytesReady },
    tries: retries?.tries ?? 0,
    nextTry: retries?.next?.toISOString() ?? null,
  };
  yield `${JSON.stringify(head).slice(0, -1)},"failures":[`;
  let separator = '';
  for await (const { archiveId, path, message: reason } of failures) {
    yield separator + JSON.stringify({ id: archiveId, path, message: reason });
    separator = ',';
  }
  yield ']}';
}

function time(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

async function* manifestText(files: AsyncIterable<CartFile>): AsyncGenerator<string> {
  for await (const file of files) yield manifestLine(file);
}

/** Sends text as it is made. */
async function sendText(ctx: Koa.Context, type: string, lines: AsyncIterable<string>): Promise<void> {
  ctx.status = 200;
  ctx.set('Content-Type', type);
  ctx.respond = false;
  await sendStream(ctx.res, pieces(lines));
}

async function* pieces(lines: AsyncIterable<string>): AsyncGenerator<Buffer> {
  let text = '';
  for await (const line of lines) {
    text += line;
    if (text.length < PIECE) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text);
}

function tell(ctx: Koa.Context, status: number, message: string): void {
  ctx.status = status;
  ctx.body = { message };
}

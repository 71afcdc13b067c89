import { randomUUID } from 'node:crypto';
import type { RequestListener } from 'node:http';
import Koa from 'koa';
import type { Logger } from 'pino';
import { messageOf } from '../lib/errors.js';
import { version } from '../lib/version.js';
import { errorBody, HttpError, statusOf } from './errors.js';
import { closeGently } from './http-server.js';
import { answerJson } from './wire-json.js';

/** What every service's app is given. */
export interface AppOptions {
  /** name of the service, for the log */
  readonly service: string;
  readonly log: Logger;
  /** takes the lines of requests; the log when absent */
  readonly access?: Logger;
  /** put stacks into error answers */
  readonly debug: boolean;
}

/**
 * A Koa app with what all services share: errors as JSON in the shape of wire.md whatever the Accept header, one log
 * line a request, 404 for unknown routes. Routes set `ctx.body` for JSON, or take over with `ctx.respond = false`.
 */
export function createApp({ service, log, access = log, debug }: AppOptions): Koa {
  const app = new Koa();
  app.silent = true;
  app.on('error', (error: unknown) => log.error({ service, err: error }, 'request failed'));

  app.use(async (ctx, next) => {
    const started = performance.now();
    const id = randomUUID();
    // it comes after `finish` too
    ctx.res.once('close', () =>
      access.info(
        {
          service,
          request: id,
          method: ctx.method,
          url: ctx.originalUrl,
          status: ctx.res.statusCode,
          ms: Math.round(performance.now() - started),
          ...(!ctx.res.writableFinished && { aborted: true }),
        },
        'request',
      ),
    );

    try {
      requirePath(ctx);
      await next();
      // Koa's own idea of "nobody answered": no body, and the status it starts with
      if (ctx.respond !== false && ctx.body === undefined && ctx.status === 404 && !ctx.res.headersSent) {
        throw new HttpError(404, 'Nothing matches the given URI');
      }
      if (ctx.respond !== false && [405, 501].includes(ctx.status) && ctx.body === undefined) {
        throw new HttpError(ctx.status, 'Specified method is invalid for this resource');
      }
      if (ctx.respond !== false && isJson(ctx.body)) answerJson(ctx, ctx.status, ctx.body);
    } catch (error) {
      const status = statusOf(error);
      if (status >= 500) log.error({ service, request: id, err: error }, messageOf(error));
      if (ctx.res.headersSent) {
        // too late for a status: cut the connection, so that the client sees that the body is not whole
        ctx.res.destroy();
        return;
      }
      ctx.respond = true;
      for (const name of ctx.res.getHeaderNames()) {
        // with 416 it tells the length of the file
        if (status === 416 && name === 'content-range') continue;
        if (/^(content-|digest|repr-digest|etag|last-modified|accept-ranges|cache-control)/i.test(name))
          ctx.remove(name);
      }
      answerJson(ctx, status, errorBody(error, version, debug));
      if (status === 503) ctx.set('Retry-After', '5');
      // the rest of a body that nobody reads: don't let it stand in the way of the next request
      if (!ctx.req.complete) {
        ctx.set('Connection', 'close');
        closeGently(ctx.req);
      }
    }
  });
  return app;
}

/** A target that is a whole URL, as proxies send it (RFC 9112, 3.2.2), may be one that can not be parsed: Koa's getter throws then. */
function requirePath(ctx: Koa.Context): void {
  try {
    if (ctx.path !== '') return;
  } catch {
    // told below
  }
  throw new HttpError(400, 'The target of the request is no URL');
}

/** Koa takes strings, buffers and streams as they are, and makes JSON of everything else. */
function isJson(body: unknown): boolean {
  if (Array.isArray(body)) return true;
  return typeof body === 'object' && body !== null && Object.getPrototypeOf(body) === Object.prototype;
}

/** @returns the app as a listener of Node's HTTP server; the app answers its own errors */
export function listenerOf(app: Koa): RequestListener {
  const answer = app.callback();
  return (req, res) => void answer(req, res);
}

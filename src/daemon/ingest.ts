import Router from '@koa/router';
import type Koa from 'koa';
import type { IngestService } from '../ingest/service.js';
import { PacificaError } from '../lib/errors.js';
import { version } from '../lib/version.js';
import { type AppOptions, createApp } from './app.js';
import { errorBody, statusOf } from './errors.js';
import { closeGently } from './http-server.js';
import { requestBlocks } from './request-blocks.js';
import { requestBody } from './request-body.js';

export interface IngestAppParts {
  readonly service: Pick<IngestService, 'receive' | 'move' | 'state'>;
  /** request header that carries the user, set by the web server in front */
  readonly authHeader: string;
  /** user when the header is absent */
  readonly defaultUser: string;
}

/** The ingest service on the wire (wire.md, ingest part). */
export function ingestApp(options: AppOptions, { service, authHeader, defaultUser }: IngestAppParts): Koa {
  const app = createApp(options);
  const router = new Router();

  router.get('/', (ctx) => {
    ctx.body = { message: 'Pacifica Ingest Up and Running' };
  });

  // the documents say /ingest, deployed clients use /upload
  router.post(['/ingest', '/upload'], async (ctx) => {
    const user = ctx.get(authHeader) || defaultUser;
    const upload = { user, length: ctx.request.length, key: idempotencyKey(ctx) };
    const { record, error, replayed } = await service.receive(requestBlocks(ctx.req), upload);
    ctx.body = record;
    if (replayed) ctx.set(REPLAYED, 'true');
    if (!ctx.req.complete) {
      ctx.set('Connection', 'close');
      closeGently(ctx.req);
    }
    // a bundle that is wrong is an answer of its own: 200 with a job that is FAILED, as the original has it
    if (error === undefined || error.code === 'invalid' || error.code === 'aborted') return;
    // deployed uploaders read job_id whatever the status is
    ctx.status = statusOf(error);
    ctx.body = { ...errorBody(error, version, options.debug), ...record };
  });

  router.post('/move', async (ctx) => {
    const user = ctx.get(authHeader) || defaultUser;
    const { record, replayed } = await service.move(requestBody(ctx.req), { user, key: idempotencyKey(ctx) });
    ctx.body = record;
    if (replayed) ctx.set(REPLAYED, 'true');
  });

  router.get('/get_state', async (ctx) => {
    const { job_id: text } = ctx.query;
    if (typeof text !== 'string') {
      throw new PacificaError('invalid', 'job_id is missing, or there twice', {
        hint: 'ask for /get_state?job_id=1234',
      });
    }
    ctx.body = await service.state(parseJobId(text));
  });

  router.get('/get_state/:id', async (ctx) => {
    ctx.body = await service.state(parseJobId(ctx.params.id ?? ''));
  });

  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

/** says that an answer is that of an earlier request with the same Idempotency-Key */
const REPLAYED = 'Idempotency-Replayed';
const LONGEST_KEY = 255;

/** The header of draft-ietf-httpapi-idempotency-key-header; any printable ASCII text is a key. */
function idempotencyKey(ctx: Koa.Context): string | undefined {
  const key = ctx.req.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && key.length <= LONGEST_KEY && /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(key))
    return key;
  throw new PacificaError('invalid', 'the Idempotency-Key is not valid', {
    hint: `send 1 to ${LONGEST_KEY} printable ASCII characters, for example a UUID`,
  });
}

function parseJobId(text: string): number {
  if (!/^-?[0-9]{1,30}$/.test(text)) {
    throw new PacificaError('invalid', `job ID ${JSON.stringify(text.slice(0, 100))} is not a number`);
  }
  const id = Number(text);
  // no job has such a number, and a database could not look for it
  if (!Number.isSafeInteger(id)) throw new PacificaError('not-found', `job ID ${text} does not exist.`);
  return id;
}

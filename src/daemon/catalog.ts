import Router from '@koa/router';
import type Koa from 'koa';
import {
  type Catalog,
  type CatalogFile,
  type CatalogTransaction,
  type FileQuery,
  hasLookups,
  hasQueries,
  type KeyQuery,
  type Lookups,
  type Metadata,
} from '../catalog/catalog.js';
import { parseEntries } from '../catalog/entries.js';
import type { RuleQuery } from '../catalog/rules.js';
import { PacificaError } from '../lib/errors.js';
import { type AppOptions, createApp } from './app.js';
import { HttpError } from './errors.js';
import { readJsonBody } from './json-body.js';
import { parseInteger, queryInteger, queryText } from './query.js';
import { sendStream } from './send.js';
import { wireJson } from './wire-json.js';

export interface CatalogParts {
  catalog: Catalog;
  /** request header that carries the user */
  authHeader: string;
  /** user when the header is absent */
  defaultUser: string;
  /** largest metadata document that is taken, bytes */
  bodyLimit: number;
}

/** rows that are read at a time, and that are answered in one piece with their length */
const PAGE = 500;
/** rows that may be asked for in one piece */
const MAX_LIMIT = 10_000;
/** bytes of a query that are taken */
const QUERY_LIMIT = 64 * 1024;
/** against metadata that is too long */
const REMEDY = 'send it in several transactions, or raise [ingest] metadata_limit';
/** parameters that tell the originals how deep to look; there is nothing below ours */
const IGNORED: readonly string[] = ['recursion_depth', 'recursion_limit'];

/** Unique ids, policy and metadata on one port, as the three original services answer (wire.md, other services). */
export function catalogApp(options: AppOptions, parts: CatalogParts): Koa {
  const { catalog, authHeader, defaultUser, bodyLimit } = parts;
  const { metadata } = catalog;
  const router = new Router();
  const user = (ctx: Koa.Context): string => ctx.get(authHeader) || defaultUser;

  router.get('/', (ctx) => {
    ctx.body = { message: 'Pacifica Metadata Up and Running' };
  });

  router.get('/getid', async (ctx) => {
    const count = required('range', queryInteger(ctx, 'range', 1));
    const mode = required('mode', queryText(ctx, 'mode'));
    if (ctx.method === 'HEAD') {
      // a HEAD is safe (RFC 9110, 9.2.1): it takes nothing
      ctx.status = 200;
      ctx.body = {};
      return;
    }
    const { start, end } = await catalog.ids.take(mode, count);
    ctx.body = { startIndex: start, endIndex: end };
  });

  router.post('/ingest', async (ctx) => {
    const entries = parseEntries(await readJsonBody(ctx.req, bodyLimit, REMEDY));
    try {
      await catalog.policy.check(entries, user(ctx));
    } catch (error) {
      if (!(error instanceof PacificaError) || error.code !== 'forbidden') throw error;
      throw new HttpError(412, `Precondition Failed: ${error.message}`);
    }
    ctx.body = { status: 'success' };
  });

  router.post('/uploader', async (ctx) => {
    if (!hasQueries(catalog.policy)) throw keptElsewhere('policy', '[policy] ingest_url');
    ctx.body = await catalog.policy.query(ruleQuery(await readJsonBody(ctx.req, QUERY_LIMIT)));
  });

  router.put('/ingest', async (ctx) => {
    await metadata.ingest(parseEntries(await readJsonBody(ctx.req, bodyLimit, REMEDY)), user(ctx));
    ctx.body = { status: 'success' };
  });

  router.get('/files', async (ctx) => {
    await sendList(ctx, filePages(metadata, fileQuery(ctx)));
  });

  router.get('/keys', async (ctx) => {
    await sendList(ctx, keyPages(lookups(metadata), keyQuery(ctx)));
  });

  // the second one is where the originals' policy service passes the first one on to people (transcripts, real clients)
  router.get(['/transactioninfo/by_id/:id', '/status/transactions/by_id/:id'], async (ctx) => {
    const id = parseInteger('the transaction id', ctx.params.id ?? '', 0);
    const lookup = lookups(metadata);
    const transaction = await lookup.transaction(id);
    await sendJson(ctx, transactionInfo(lookup, transaction));
  });

  const app = createApp(options);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

function required<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw new PacificaError('invalid', `the query parameter ${name} is missing`);
  return value;
}

function lookups(metadata: Metadata): Metadata & Lookups {
  if (hasLookups(metadata)) return metadata;
  throw keptElsewhere('metadata', '[metadata] url');
}

function keptElsewhere(what: string, setting: string): PacificaError {
  return new PacificaError('not-found', `the ${what} of this site is kept by another service`, {
    hint: `ask the service that ${setting} names`,
  });
}

/** Reads `{"user": 10, "from": "projects", "columns": ["_id"], "where": {"instrument_id": 54}}`. */
function ruleQuery(body: unknown): RuleQuery {
  const { user, from, columns, where } = (body ?? {}) as Record<string, unknown>;
  const fault = (what: string): PacificaError => new PacificaError('invalid', `Invalid Query: ${what}`);
  if (typeof user !== 'number' && typeof user !== 'string') throw fault('"user" is not the id of a user, or -1');
  if (from !== 'users' && from !== 'projects' && from !== 'instruments') {
    throw fault('"from" is not users, projects or instruments');
  }
  if (!Array.isArray(columns) || !columns.every((column) => typeof column === 'string')) {
    throw fault('"columns" is not a list of names');
  }
  if (typeof (where ?? {}) !== 'object' || Array.isArray(where)) throw fault('"where" is not an object');
  return { user, from, columns, where: (where ?? {}) as Record<string, unknown> };
}

/** Refuses parameters that we would have to leave out of account: the answer would be to another question. */
function onlyKnown(ctx: Koa.Context, known: readonly string[]): void {
  const unknown = Object.keys(ctx.query).find((name) => !known.includes(name) && !IGNORED.includes(name));
  if (unknown === undefined) return;
  throw new PacificaError('invalid', `the query parameter ${JSON.stringify(unknown.slice(0, 100))} is not known`, {
    hint: `there are ${known.join(', ')}`,
  });
}

const PAGING: readonly string[] = ['limit', 'page', 'items_per_page', 'page_number'];

/** `items_per_page` and `page_number` are the originals' names. */
function paging(ctx: Koa.Context): { limit?: number; page?: number } {
  const limit = queryInteger(ctx, 'limit', 1, MAX_LIMIT) ?? queryInteger(ctx, 'items_per_page', 1, MAX_LIMIT);
  const page = queryInteger(ctx, 'page', 1) ?? queryInteger(ctx, 'page_number', 1);
  if (page !== undefined && limit === undefined) {
    throw new PacificaError('invalid', 'the query parameter page needs limit beside it');
  }
  return { limit, page };
}

const FILE_TEXTS = ['name', 'name_glob', 'subdir', 'hashtype', 'hashsum', 'mimetype', 'key', 'value'] as const;
const FILE_PARAMETERS = [...FILE_TEXTS, '_id', 'transaction', 'transaction_id', 'below', ...PAGING];

function fileQuery(ctx: Koa.Context): FileQuery {
  onlyKnown(ctx, FILE_PARAMETERS);
  if ((queryText(ctx, 'key') === undefined) !== (queryText(ctx, 'value') === undefined)) {
    throw new PacificaError('invalid', 'the query parameters key and value go together');
  }
  return {
    ...Object.fromEntries(FILE_TEXTS.map((name) => [name, queryText(ctx, name)])),
    _id: queryInteger(ctx, '_id', 0),
    transaction: queryInteger(ctx, 'transaction', 0) ?? queryInteger(ctx, 'transaction_id', 0),
    below: queryInteger(ctx, 'below', 0),
    ...paging(ctx),
  };
}

function keyQuery(ctx: Koa.Context): KeyQuery {
  onlyKnown(ctx, ['_id', 'key', ...PAGING]);
  return { _id: queryInteger(ctx, '_id', 0), key: queryText(ctx, 'key'), ...paging(ctx) };
}

/** Reads a list in pages of {@link PAGE}, or just the one page that was asked for. */
async function* filePages(metadata: Metadata, query: FileQuery): AsyncGenerator<CatalogFile[]> {
  if (query.limit !== undefined) {
    yield await metadata.files(query);
    return;
  }
  let { below } = query;
  for (;;) {
    const files = await metadata.files({ ...query, below, limit: PAGE });
    yield files;
    if (files.length < PAGE) return;
    below = files.at(-1)?._id;
  }
}

async function* keyPages(metadata: Lookups, query: KeyQuery): AsyncGenerator<object[]> {
  let above: number | undefined;
  for (;;) {
    const keys = await metadata.keys({ ...query, ...(query.limit === undefined && { above, limit: PAGE }) });
    yield keys.map(({ _id, key, created }) => ({
      created,
      updated: created,
      deleted: null,
      _id,
      key,
      display_name: key,
      encoding: 'UTF8',
    }));
    if (query.limit !== undefined || keys.length < PAGE) return;
    above = keys.at(-1)?._id;
  }
}

/** Answers with a JSON list; one that does not fit a page is sent as it is read. */
async function sendList(ctx: Koa.Context, pages: AsyncGenerator<object[]>): Promise<void> {
  const first = await pages.next();
  const rows = first.done === true ? [] : first.value;
  if (rows.length < PAGE || ctx.method === 'HEAD') {
    ctx.body = rows;
    return;
  }
  await sendJson(ctx, listText(rows, pages));
}

async function sendJson(ctx: Koa.Context, text: AsyncIterable<Uint8Array>): Promise<void> {
  ctx.status = 200;
  ctx.set('Content-Type', 'application/json');
  ctx.respond = false;
  await sendStream(ctx.res, text);
}

async function* listText(first: readonly object[], rest: AsyncIterable<readonly object[]>): AsyncGenerator<Buffer> {
  yield Buffer.from(`[${first.map(wireJson).join(', ')}`);
  for await (const rows of rest) yield Buffer.from(rows.map((row) => `, ${wireJson(row)}`).join(''));
  yield Buffer.from(']');
}

/** A transaction with its files, in the originals' form: what is known of it, `key_values`, then `files` by their ids. */
async function* transactionInfo(metadata: Metadata & Lookups, transaction: CatalogTransaction): AsyncGenerator<Buffer> {
  const { _id, submitter, project, instrument, created, updated, keyValues } = transaction;
  const head = {
    created,
    updated,
    deleted: null,
    _id,
    submitter,
    project,
    instrument,
    transaction_id: _id,
    submitter_id: submitter,
    project_id: project,
    instrument_id: instrument,
    submitted: created,
    release_date: null,
    release_state: 'not_released',
    release_state_display: 'Not Released',
    submitter_name: String(submitter),
    project_name: String(project),
    instrument_name: String(instrument),
    key_values: keyValues,
  };
  const ids: number[] = [];
  let text = `${wireJson(head).slice(0, -1)}, "files": {`;
  for await (const files of filePages(metadata, { transaction: _id })) {
    const pairs = await metadata.fileKeyValues(files.map((file) => file._id));
    for (const file of files) {
      // the originals send an empty object for none
      const value = wireJson({ ...file, key_values: pairs.get(file._id) ?? {} });
      text += `${ids.length === 0 ? '' : ', '}"${file._id}": ${value}`;
      ids.push(file._id);
    }
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(`}, "file_ids": ${wireJson(ids)}}`);
}

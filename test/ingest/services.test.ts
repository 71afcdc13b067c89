import type { IncomingMessage, RequestListener } from 'node:http';
import { expect, it } from 'vitest';
import { createCatalog } from '../../src/catalog/create.js';
import { catalogApp } from '../../src/daemon/catalog.js';
import { bundle, type IngestSite, startIngest } from '../support/ingest.js';
import { silent } from '../support/log.js';
import { startServer } from '../support/server.js';
import { piecesOf } from '../support/streams.js';
import { until } from '../support/until.js';

// policy, metadata and unique ids as services of their own, over HTTP: each of them ill for a while, then well

type Illness = 'cut' | 'page' | 'nothing' | 'error' | 'slow' | 'silent';

/** Answers as an ill service does. @returns whether it did */
const ILL: Record<Illness, (...args: Parameters<RequestListener>) => boolean> = {
  cut: (req) => {
    req.destroy();
    return true;
  },
  page: (req, res) => {
    req.resume();
    res.setHeader('Content-Type', 'text/html').end('<html>It works!</html>');
    return true;
  },
  nothing: (req, res) => {
    req.resume();
    res.end('{}');
    return true;
  },
  error: (req, res) => {
    req.resume();
    res.writeHead(500).end('{"message": "out of order"}');
    return true;
  },
  // it answers in the end
  slow: () => false,
  // it never does
  silent: (req) => {
    req.resume();
    return true;
  },
};

/** the long suite has one that takes the minute for which an answer is waited for (test/long/silent-services.test.ts) */
const ILLNESSES = (process.env.PACIFICA_ILLNESSES?.split(' ') ?? [
  'cut',
  'page',
  'nothing',
  'error',
  'slow',
]) as Illness[];

const SERVICES = [
  { name: 'policy', isMeant: ({ method }: IncomingMessage) => method === 'POST', task: 'Policy Validation' },
  { name: 'metadata', isMeant: ({ method }: IncomingMessage) => method === 'PUT', task: 'ingest metadata' },
  // the number of the job itself comes: what happens without that one is told in the test of the wire
  { name: 'ids', isMeant: ({ url }: IncomingMessage) => url?.includes('mode=file') === true, task: 'ingest files' },
];

const FILES = { 'a/b': 'b', c: 'c'.repeat(10_000) };

/** An ingest whose three services are one of ours over HTTP, one of them ill. */
async function ingestWith({ isMeant, task }: (typeof SERVICES)[number], illness: Illness): Promise<string> {
  const own = await startIngest();
  const app = catalogApp(
    { service: 'catalog', log: silent, debug: false },
    { catalog: own.catalog, authHeader: 'X-Http-Authed-User', defaultUser: 'root', bodyLimit: 1e6 },
  );
  const answer = app.callback();
  let ill = true;
  const server = await startServer((req, res) => {
    const isItsTurn = ill && isMeant(req);
    if (isItsTurn && ILL[illness](req, res)) return;
    setTimeout(() => void answer(req, res), isItsTurn ? 2000 : 0);
  });
  const catalog = createCatalog({
    database: own.database,
    uniqueIdUrl: server.url,
    policyUrl: `${server.url}/ingest`,
    metadataIngestUrl: `${server.url}/ingest`,
    authHeader: 'X-Http-Authed-User',
    // shorter than the half minute of daemons: what is told afterwards is the same
    retryBudgetMs: 3000,
  });
  const site: IngestSite = await startIngest({ work: true, wrap: () => ({ catalog }) });
  try {
    const { record } = await site.service.receive(piecesOf(bundle(FILES)), { user: 'root' });
    const seen = await until(
      'the state to say so',
      async () => {
        const state = await site.state(record.job_id);
        return (state.exception !== '' || state.complete) && state;
      },
      90_000,
    );
    if (illness !== 'slow') {
      expect(seen).toMatchObject({ state: 'OK', task, complete: false });
      expect(await site.visible()).toHaveLength(task === 'ingest metadata' ? 2 : 0);
    }
    ill = false;
    expect(await site.end(record.job_id)).toMatchObject({ state: 'OK', complete: true, exception: '' });
    expect(await site.visible()).toHaveLength(2);
    return seen.exception;
  } finally {
    await site.close();
    await catalog.close();
    await server.close();
    await own.close();
  }
}

it('down, out of order, slow or answering garbage: the state says so, and the job passes when the service is back', async () => {
  const cases = SERVICES.flatMap((service) =>
    ILLNESSES.map(async (illness) => {
      const text = await ingestWith(service, illness);
      // what is slow answers in the end: nobody has to be told
      if (illness === 'slow') expect(text).toBe('');
      else
        expect(text, `${service.name}: ${illness}`).toMatch(
          /^waiting: .*(can not reach|answered|did not answer in time)/,
        );
    }),
  );
  await Promise.all(cases);
}, 120_000);

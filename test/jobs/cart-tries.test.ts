import { expect, it } from 'vitest';
import { cartApp } from '../../src/daemon/cart.js';
import { listenerOf } from '../../src/daemon/app.js';
import { openJobQueue } from '../../src/jobs/jobs.js';
import { PacificaError } from '../../src/lib/errors.js';
import type { JobHandler, JobKind } from '../../src/lib/job-queue.js';
import { startCartSite } from '../support/cart.js';
import { FarArchive } from '../support/far-archive.js';
import { silent } from '../support/log.js';
import { startServer } from '../support/server.js';
import { until } from '../support/until.js';

it('the status of a cart tells how often it was tried, and when it is tried again', async () => {
  const site = await startCartSite();
  const archive = new FarArchive(site.archive);
  let away = true;
  archive.beforeStatus = () => {
    if (away) throw new PacificaError('unavailable', 'the archive is away');
  };
  const handlers = new Map<JobKind, JobHandler>();
  const options = { lockLifetimeMs: 10_000, concurrency: 2, work: true, log: silent };
  const queue = await openJobQueue({ database: site.database, url: '', handlers, ...options });
  const { service } = site.another({ queue, archive });
  handlers.set('cart', service.handler);
  await queue.start();
  const app = cartApp({ service: 'cart', log: silent, debug: false }, { service, bodyLimit: 1_000_000 });
  const server = await startServer(listenerOf(app));
  try {
    const file = { ...(await site.put(1, 'one')), path: 'one' };
    await fetch(`${server.url}/c`, { method: 'POST', body: JSON.stringify({ fileids: [file] }) });
    const status = async (): Promise<{ status: string; tries: number; nextTry: string | null }> =>
      (await (await fetch(`${server.url}/c/status`)).json()) as {
        status: string;
        tries: number;
        nextTry: string | null;
      };
    const waits = await until('a wait', async () => {
      const now = await status();
      return now.nextTry !== null && now;
    });
    expect(waits.status).toBe('staging');
    expect(waits.tries).toBeGreaterThanOrEqual(1);
    expect(new Date(waits.nextTry ?? '').getTime()).toBeGreaterThan(Date.now() - 60_000);
    away = false;
    await until('the end', async () => (await status()).status === 'ready');
    expect(await status()).toMatchObject({ tries: 0, nextTry: null });
  } finally {
    await server.close();
    await queue.stop();
    await service.close();
    await site.close();
  }
});

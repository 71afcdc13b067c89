import { setTimeout as sleep } from 'node:timers/promises';
import Router from '@koa/router';
import type Koa from 'koa';
import { messageOf, PacificaError } from '../lib/errors.js';
import { type Metric, metricsText } from '../lib/metric.js';
import { version } from '../lib/version.js';
import { type AppOptions, createApp } from './app.js';

/** A part that the daemon can not work without: resolves when it works, throws what is wrong. */
export interface HealthCheck {
  readonly name: string;
  readonly check: () => Promise<void>;
}

/** ms that a part gets to say how it is */
const PATIENCE = 5000;

export interface AdminAppParts {
  readonly checks: readonly HealthCheck[];
  /** @returns what is counted, as of now */
  readonly metrics: () => readonly Metric[];
}

/**
 * The admin port: `GET /health/live` is 200 as long as the process answers at all; `GET /health/ready` is 200 when
 * every part works and the daemon takes requests, else 503, and says which part is how. `GET /metrics` is for Prometheus.
 */
export function adminApp(options: AppOptions, { checks, metrics }: AdminAppParts): Koa {
  const router = new Router();
  router.get('/health/live', (ctx) => {
    ctx.body = { status: 'live', pid: process.pid, version };
  });
  router.get('/health/ready', async (ctx) => {
    const results = await Promise.all(
      checks.map(async ({ name, check }): Promise<[string, string]> => {
        try {
          await inTime(check());
          return [name, 'ok'];
        } catch (error) {
          return [name, messageOf(error)];
        }
      }),
    );
    const ready = results.every(([, result]) => result === 'ok');
    ctx.status = ready ? 200 : 503;
    ctx.body = { status: ready ? 'ready' : 'not ready', checks: Object.fromEntries(results) };
  });
  router.get('/metrics', (ctx) => {
    ctx.set('Content-Type', 'text/plain; version=0.0.4; charset=utf-8');
    ctx.body = metricsText(metrics());
  });
  const app = createApp(options);
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

async function inTime(check: Promise<void>): Promise<void> {
  const answered = new AbortController();
  const tooLate = sleep(PATIENCE, undefined, { signal: answered.signal }).then(() => {
    throw new PacificaError('timeout', `no answer within ${PATIENCE} ms`);
  });
  try {
    await Promise.race([check, tooLate]);
  } finally {
    answered.abort();
    tooLate.catch(() => undefined);
  }
}

import type Koa from 'koa';
import { listenerOf } from '../../src/daemon/app.js';
import { startServer, type TestServer } from './server.js';

/** Starts a service's app on a free port of this machine. */
export async function startApp(app: Koa): Promise<TestServer> {
  return startServer(listenerOf(app));
}

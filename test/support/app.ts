import type Koa from 'koa';
import { startServer, type TestServer } from './server.js';

/** Starts a service's app on a free port of this machine. */
export async function startApp(app: Koa): Promise<TestServer> {
  const handle = app.callback();
  return startServer((req, res) => void handle(req, res));
}

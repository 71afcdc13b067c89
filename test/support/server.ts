import type { RequestListener, Server } from 'node:http';
import { createHttpServer } from '../../src/daemon/http-server.js';

export interface TestServer {
  /** base URL without a slash at the end */
  readonly url: string;
  readonly server: Server;
  close(): Promise<void>;
}

/** Starts an HTTP server as the daemons have it on a free port of this machine: `await startServer(app.callback())`. */
export async function startServer(handler: RequestListener): Promise<TestServer> {
  const server = createHttpServer({}, handler);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no address');
  return {
    url: `http://127.0.0.1:${address.port}`,
    server,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

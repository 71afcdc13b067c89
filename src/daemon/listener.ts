import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { PacificaError, systemCode } from '../lib/errors.js';
import { version } from '../lib/version.js';
import { errorBody } from './errors.js';
import { createHttpServer } from './http-server.js';

/** ms of silence on a connection after which it is cut; long, since a server may be busy with an fsync of terabytes */
const IDLE_TIMEOUT = 30 * 60_000;
/** ms that an idle keep-alive connection stays; longer than what nginx keeps (60 s), so that nginx closes first */
const KEEP_ALIVE_TIMEOUT = 75_000;

/** The HTTP servers of one process: opens their ports, and drains them together. */
export class Listener {
  readonly #log: Logger;
  readonly #servers: Server[] = [];
  #draining = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * Opens a port for a service.
   * @param port 0 takes a free one
   * @returns the base URL
   * @throws PacificaError `unavailable` (port in use), `forbidden` (not allowed), `invalid` (no such address)
   */
  async listen(service: string, handler: RequestListener, host: string, port: number): Promise<string> {
    const server = createHttpServer({ keepAliveTimeout: KEEP_ALIVE_TIMEOUT, requestTimeout: 0 }, (req, res) => {
      if (this.#draining) refuse(req, res);
      else handler(req, res);
    });
    server.timeout = IDLE_TIMEOUT;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(service, host, port, error)));
      server.listen(port, host, resolve);
    });
    server.on('error', (error) => this.#log.error({ service, err: error }, 'server error'));
    this.#servers.push(server);
    const address = server.address();
    if (address === null || typeof address === 'string')
      throw new PacificaError('internal', `${service} has no address`);
    return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  }

  /**
   * Takes no new connections and requests, lets running ones finish, then closes.
   * @param timeout ms after which what still runs is cut
   */
  async drain(timeout: number): Promise<void> {
    this.#draining = true;
    const closed = Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
    const limit = new AbortController();
    // a connection that becomes idle only now would stay open for the whole keep-alive time
    const idle = setInterval(() => this.#servers.forEach((server) => server.closeIdleConnections()), 50);
    await Promise.race([closed, sleep(timeout, undefined, { signal: limit.signal }).catch(() => undefined)]);
    limit.abort();
    clearInterval(idle);
    this.#servers.forEach((server) => server.closeAllConnections());
    await closed;
  }
}

function refuse(req: IncomingMessage, res: ServerResponse): void {
  const body = JSON.stringify(errorBody(new PacificaError('unavailable', 'the server is stopping'), version, false));
  res.writeHead(503, { 'Content-Type': 'application/json', 'Retry-After': '5', Connection: 'close' });
  res.end(req.method === 'HEAD' ? undefined : body);
}

function listenError(service: string, host: string, port: number, error: Error): PacificaError {
  const what = `${service} can not listen on ${host}:${port}`;
  switch (systemCode(error)) {
    case 'EADDRINUSE':
      return new PacificaError('unavailable', `${what}: the port is in use`, {
        hint: `stop what uses it, or choose another one (0 takes a free port)`,
        cause: error,
      });
    case 'EACCES':
      return new PacificaError('forbidden', `${what}: not allowed`, {
        hint: 'ports below 1024 need privileges',
        cause: error,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new PacificaError('invalid', `${what}: this machine has no such address`, { cause: error });
    case undefined:
    default:
      return new PacificaError('internal', `${what}: ${error.message}`, { cause: error });
  }
}

/** @returns whether an address can be reached from this machine only */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host);
}

import { type AgentOptions, request as httpRequest, type RequestOptions } from 'node:http';
import type { Agent } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';

/** ms that a proxy gets to open a way */
const PATIENCE = 10_000;

/**
 * @returns what makes connections to a service by HTTPS: through the proxy that HTTPS_PROXY names, unless NO_PROXY
 * excludes the host, as in curl. (Services by plain HTTP are within the site: they never go through one.)
 */
export async function tunnelFor(url: URL, options: AgentOptions): Promise<Agent> {
  // loaded when needed: TLS takes its time
  const [https, tls] = await Promise.all([import('node:https'), import('node:tls')]);
  const proxy = proxyFor(url);
  if (proxy === undefined) return new https.Agent(options);
  return new (class extends https.Agent {
    override createConnection(wanted: RequestOptions, done?: Done): undefined {
      const host = `${wanted.host ?? url.hostname}:${String(wanted.port ?? 443)}`;
      openWay(
        proxy,
        host,
        (socket) => done?.(null, tls.connect({ ...(wanted as ConnectionOptions), socket })),
        // Node looks at the error alone, its types want a stream all the same
        (error) => done?.(error, new Socket()),
      );
    }
  })(options);
}

type Done = (error: Error | null, stream: Duplex) => void;

/** RFC 9110, 9.3.6: asks a proxy to pass bytes on in both directions. */
function openWay(proxy: URL, host: string, opened: (socket: Socket) => void, failed: (error: Error) => void): void {
  const { hostname, port, username, password } = proxy;
  const who = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const asking = httpRequest({
    host: hostname,
    port: port === '' ? 80 : port,
    method: 'CONNECT',
    path: host,
    headers: { host, ...(username !== '' && { 'proxy-authorization': `Basic ${who}` }) },
    agent: false,
    timeout: PATIENCE,
  });
  asking.once('connect', ({ statusCode }, socket) => {
    socket.setTimeout(0);
    if (statusCode === 200) return opened(socket);
    socket.destroy();
    failed(new Error(`the proxy ${proxy.host} answered ${statusCode ?? ''}`));
  });
  asking.once('timeout', () => asking.destroy(new Error(`the proxy ${proxy.host} does not answer`)));
  asking.once('error', failed);
  asking.end();
}

function proxyFor({ hostname, port }: URL): URL | undefined {
  const { env } = process;
  const proxy = env.https_proxy ?? env.HTTPS_PROXY ?? '';
  if (proxy === '' || isExcluded(hostname, port || '443', env.no_proxy ?? env.NO_PROXY ?? '')) return undefined;
  return new URL(proxy.includes('://') ? proxy : `http://${proxy}`);
}

/** @param list hosts, their domains (`example.org`, `.example.org`), with a port or without; `*` is all */
function isExcluded(host: string, port: string, list: string): boolean {
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      const [, name = '', only] = /^\*?\.?(.*?)(?::(\d+))?$/.exec(entry) ?? [];
      if (only !== undefined && only !== port) return false;
      return entry === '*' || host === name || (name !== '' && host.endsWith(`.${name}`));
    });
}

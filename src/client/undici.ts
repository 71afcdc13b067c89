import { createRequire } from 'node:module';
import type { Agent, Dispatcher, EnvHttpProxyAgent } from 'undici';

// The index of undici loads fetch, web sockets, caches and mocks too, which takes a command as long to start as all the
// rest of it. Its HTTP client alone is three files; that they are where they are holds for one version (package.json).
const load = createRequire(import.meta.url);

/** what the two files export: the class, and `request` before it is bound to a dispatcher */
type AgentConstructor = typeof Agent;
type Request = (this: Dispatcher, options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData>;

const AgentOfUndici = load('undici/lib/dispatcher/agent.js') as AgentConstructor;
const requestOfUndici = load('undici/lib/api/api-request.js') as Request;

/**
 * Connections to services. Those by HTTPS go through the proxy that HTTPS_PROXY names, unless NO_PROXY excludes the
 * host, as in curl. Those by plain HTTP stay within a site and never use one.
 */
export function createAgent(options: Agent.Options): Agent | EnvHttpProxyAgent {
  if ((process.env.https_proxy ?? process.env.HTTPS_PROXY ?? '') === '') return new AgentOfUndici(options);
  const undici = load('undici') as { EnvHttpProxyAgent: typeof EnvHttpProxyAgent };
  return new undici.EnvHttpProxyAgent({ ...options, httpProxy: '' });
}

/** undici's `request`: resolves with the headers of the answer and its body to be read. */
export async function request(
  agent: Dispatcher,
  url: string,
  options: Omit<Dispatcher.RequestOptions, 'origin' | 'path'>,
): Promise<Dispatcher.ResponseData> {
  const { origin, pathname, search } = new URL(url);
  return requestOfUndici.call(agent, { ...options, origin, path: pathname + search });
}

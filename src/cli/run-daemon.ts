import type { Logger } from 'pino';
import type { Unread } from '../config/check.js';
import type { Config } from '../config/load.js';
import { adminApp } from '../daemon/admin.js';
import { listenerOf } from '../daemon/app.js';
import { isLoopback, Listener } from '../daemon/listener.js';
import { openLogs } from '../daemon/logs.js';
import { collect } from '../lib/collect.js';
import { PacificaError } from '../lib/errors.js';
import type { JobKind } from '../lib/job-queue.js';
import { keepHeapSmall } from '../lib/small-heap.js';
import { version } from '../lib/version.js';
import { buildHouse, type ServiceName } from '../wiring.js';

export interface DaemonOptions {
  readonly config: Config;
  /** what the configuration holds that nobody reads: said in the log */
  readonly unread: readonly Unread[];
  /** services to run, with the port of each; 0 takes a free one */
  readonly ports: ReadonlyMap<ServiceName, number>;
  /** kinds of jobs to run */
  readonly works: readonly JobKind[];
  /** port of health checks and metrics; none when absent */
  readonly adminPort: number | undefined;
  readonly host: string;
  /** allow an address that other machines can reach, although there is no access control */
  readonly insecure: boolean;
  /** write the ready event as one line of JSON instead of a table */
  readonly json: boolean;
}

/**
 * Runs services until SIGTERM or SIGINT, then drains: no new requests, running ones finish, jobs are handed back.
 * Logs go to stderr as JSON lines, the ready event to stdout. A second signal does not wait any longer.
 * @throws PacificaError when it can not start
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const { config, unread, ports, works, adminPort, host, insecure, json } = options;
  const listens = ports.size > 0 || adminPort !== undefined;
  if (listens && !isLoopback(host) && !insecure) {
    throw new PacificaError(
      'forbidden',
      `${host} can be reached by other machines, and there is no access control yet`,
      {
        hint: 'listen on 127.0.0.1 behind a web server that checks users, or add --insecure when the network is trusted',
      },
    );
  }
  keepHeapSmall();
  const logs = openLogs(config);
  const { log } = logs;
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
  const release = onSignals((signal) => {
    log.info({ signal }, 'stopping');
    stop.abort(new PacificaError('aborted', `stopped by ${signal} before it was ready`));
  });
  dieLoudly(log, () => logs.flush());
  for (const { kind, message, hint } of unread)
    log[kind === 'unknown' ? 'warn' : 'info'](hint === undefined ? message : `${message} (${hint})`);

  const listener = new Listener(log);
  let house: Awaited<ReturnType<typeof buildHouse>> | undefined;
  try {
    house = await buildHouse({
      config,
      log,
      access: logs.access,
      services: [...ports.keys()],
      works,
      signal: stop.signal,
    });
    const urls: Record<string, string> = {};
    for (const [service, port] of ports)
      urls[service] = await listener.listen(service, house.handler(service), host, port);
    if (adminPort !== undefined) {
      const app = adminApp({ service: 'admin', log, access: logs.access, debug: config.serve.debug }, house);
      urls.admin = await listener.listen('admin', listenerOf(app), host, adminPort);
    }
    stop.signal.throwIfAborted();
    await house.start();
    // by itself V8 lets the heap that a program starts with grow to three times its size before it looks again
    collect('major');
    log.info({ urls, version }, 'ready');
    process.stdout.write(
      json ? `${JSON.stringify({ event: 'ready', pid: process.pid, urls })}\n` : table(urls, config),
    );
    await stopped;
    // both at once: requests that run may take long, and other processes wait for the jobs
    await Promise.all([listener.drain(config.serve.drain_timeout * 1000), house.handBack()]);
    log.info('stopped');
  } finally {
    await listener.drain(0);
    await house?.close();
    release();
    logs.close();
  }
}

function table(urls: Readonly<Record<string, string>>, config: Config): string {
  const rows = Object.entries(urls).map(([service, url]) => `  ${service.padEnd(8)} ${url}\n`);
  return `pacifica ${version} is ready, data in ${config.data.dir}\n${rows.join('')}Stop it with Ctrl-C.\n`;
}

/** @returns a function that stops listening to signals */
function onSignals(stop: (signal: string) => void): () => void {
  let asked = false;
  const heard = (signal: NodeJS.Signals): void => {
    if (asked) process.exit(130);
    asked = true;
    stop(signal);
  };
  process.on('SIGTERM', heard);
  process.on('SIGINT', heard);
  return () => {
    process.off('SIGTERM', heard);
    process.off('SIGINT', heard);
  };
}

/** What nobody caught is a fault of ours in an unknown state: say it and end, the supervisor starts us again. */
function dieLoudly(log: Logger, flush: () => void): void {
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, event);
      flush();
      process.exit(1);
    });
  }
}

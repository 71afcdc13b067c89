import { Flags } from '../cli/oclif.js';
import { BaseCommand } from '../cli/base-command.js';
import { EXIT } from '../cli/exit-codes.js';
import { runDaemon } from '../cli/run-daemon.js';
import { daemonFlags, noWorkerFlag } from '../cli/serve-flags.js';
import { unreadKeys } from '../config/check.js';
import { PacificaError } from '../lib/errors.js';
import { jobKinds } from '../lib/job-queue.js';
import { services } from '../wiring.js';

const port = (service: string) =>
  Flags.integer({ summary: `Port of ${service}; 0 takes a free one`, min: 0, max: 65535, helpValue: 'PORT' });

export default class Serve extends BaseCommand {
  static override summary = 'Run all services in one process';
  static override description = `Archive, cart, ingest, proxy and catalog on one data folder, with the jobs in the background.
It runs until SIGTERM or Ctrl-C, and then lets running requests finish and hands its jobs back.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data-dir /srv/pacifica --json',
  ];
  static override flags = {
    ...daemonFlags,
    ...noWorkerFlag,
    host: Flags.string({ summary: 'Address to listen on', helpValue: 'HOST' }),
    'archive-port': port('the archive interface'),
    'cart-port': port('the cart service'),
    'ingest-port': port('the ingest service'),
    'proxy-port': port('the proxy service'),
    'catalog-port': port('the catalog'),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Serve);
    const { config, files } = await this.reading(flags, {
      'data-dir': 'data.dir',
      host: 'serve.host',
      'archive-port': 'serve.archive_port',
      'cart-port': 'serve.cart_port',
      'ingest-port': 'serve.ingest_port',
      'proxy-port': 'serve.proxy_port',
      'catalog-port': 'serve.catalog_port',
      'admin-port': 'serve.admin_port',
    });
    if (config.cartd.volume_path === config.ingest.volume_path) {
      throw new PacificaError('invalid', `carts and bundles can not share the folder ${config.ingest.volume_path}`, {
        hint: 'set PACIFICA_CARTD_VOLUME_PATH and PACIFICA_INGEST_VOLUME_PATH, or run each service by its own command',
      });
    }
    await runDaemon({
      config,
      unread: unreadKeys(files, process.env),
      ports: new Map(services.map((service) => [service, config.serve[`${service}_port`]])),
      works: flags['no-worker'] ? [] : jobKinds,
      adminPort: config.serve.admin_port,
      host: config.serve.host,
      insecure: flags.insecure,
      json: flags.json,
    });
    // all is closed; timers that libraries leave behind are no reason to stay
    this.exit(EXIT.done);
  }
}

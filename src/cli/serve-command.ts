import { unreadKeys } from '../config/check.js';
import type { SettingName } from '../config/load.js';
import type { JobKind } from '../lib/job-queue.js';
import type { ServiceName } from '../wiring.js';
import { BaseCommand } from './base-command.js';
import { EXIT } from './exit-codes.js';
import { singleServiceFlags } from './serve-flags.js';

/** The parsed flags of a daemon of one service. */
export interface ServeFlags {
  'admin-port': number | undefined;
  insecure: boolean;
  json: boolean;
}

/** A daemon of one service: `pacifica <service> serve`. */
export abstract class ServeCommand extends BaseCommand {
  static override flags = singleServiceFlags;

  /**
   * @param works kinds of jobs that it runs
   * @param settings flags of this service alone, by the setting that they stand for
   */
  protected async serve(
    service: ServiceName,
    flags: ServeFlags & Readonly<Record<string, unknown>>,
    { works = [], settings = {} }: { works?: JobKind[]; settings?: Readonly<Record<string, SettingName>> } = {},
  ): Promise<void> {
    const flagSettings: Readonly<Record<string, SettingName>> = {
      'data-dir': 'data.dir',
      address: 'serve.host',
      port: `serve.${service}_port`,
      ...settings,
    };
    const { config, files } = await this.reading(flags, flagSettings, service);
    const { runDaemon } = await import('./run-daemon.js');
    await runDaemon({
      config,
      unread: unreadKeys(files, process.env),
      ports: new Map([[service, config.serve[`${service}_port`]]]),
      works,
      adminPort: flags['admin-port'],
      host: config.serve.host,
      insecure: flags.insecure,
      json: flags.json,
    });
    // all is closed; timers that libraries leave behind are no reason to stay
    this.exit(EXIT.done);
  }
}

import { type Logger, pino } from 'pino';
import type { IngestService } from '../ingest/service.js';
import { openIngest } from '../wiring.js';
import { BaseCommand } from './base-command.js';
import { EXIT } from './exit-codes.js';
import { dataDirFlag } from './serve-flags.js';

/** A command for administrators: works on the database and archive of this machine, whether a daemon runs or not. */
export abstract class IngestAdminCommand extends BaseCommand {
  static override flags = dataDirFlag;

  /** Opens what is configured, and ends the command when `work` is done. */
  protected async withIngest(
    flags: Readonly<Record<string, unknown>>,
    work: (service: IngestService) => Promise<void>,
  ): Promise<void> {
    const config = await this.configuration(flags, { 'data-dir': 'data.dir' });
    // what is worth knowing is the command's own output
    const log: Logger = pino({ level: 'silent' });
    const ingest = await openIngest({ config, log });
    try {
      await work(ingest.service);
    } finally {
      await ingest.close();
    }
    // timers that libraries leave behind are no reason to stay
    this.exit(EXIT.done);
  }
}

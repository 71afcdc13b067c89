import type { IngestService } from '../ingest/service.js';
import { openTools } from '../wiring.js';
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
    const config = await this.configuration(flags, { 'data-dir': 'data.dir' }, 'ingest');
    const tools = await openTools(config);
    try {
      await work(tools.ingest);
    } finally {
      await tools.close();
    }
    // timers that libraries leave behind are no reason to stay
    this.exit(EXIT.done);
  }
}

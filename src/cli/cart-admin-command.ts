import type { CartService } from '../cart/service.js';
import { openTools } from '../wiring.js';
import { BaseCommand } from './base-command.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { dataDirFlag } from './serve-flags.js';

/** A command for administrators: works on the database and carts of this machine, whether a daemon runs or not. */
export abstract class CartAdminCommand extends BaseCommand {
  static override flags = dataDirFlag;

  /** what the command ends with when nothing is thrown */
  protected endsWith: ExitCode = EXIT.done;

  /** Opens what is configured, and ends the command when `work` is done. */
  protected async withCarts(
    flags: Readonly<Record<string, unknown>>,
    work: (service: CartService) => Promise<void>,
  ): Promise<void> {
    const tools = await openTools(await this.configuration(flags, { 'data-dir': 'data.dir' }, 'cart'));
    try {
      await work(tools.carts);
    } finally {
      await tools.close();
    }
    // timers that libraries leave behind are no reason to stay
    this.exit(this.endsWith);
  }
}

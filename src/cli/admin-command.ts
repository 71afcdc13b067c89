import { PacificaError } from '../lib/errors.js';
import type { Tools } from '../wiring.js';
import { ClientCommand } from './client-command.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { startProgress } from './progress.js';
import { dataDirFlag, dataDirSetting } from './serve-flags.js';
import { withTools } from './with-tools.js';

/** A command for administrators: works on what this machine keeps, whether a daemon runs or not. */
export abstract class AdminCommand extends ClientCommand {
  // oclif does not find those of a class further up
  static override baseFlags = ClientCommand.baseFlags;
  static override flags = dataDirFlag;

  /** what the command ends with when nothing is thrown */
  protected endsWith: ExitCode = EXIT.done;

  /** Opens what is configured for a service, and ends the command when `work` is done. */
  protected async administer(
    service: 'cart' | 'ingest',
    flags: Readonly<Record<string, unknown>>,
    work: (tools: Tools) => Promise<void>,
  ): Promise<void> {
    await withTools(await this.configuration(flags, dataDirSetting, service), this.patience, work);
    // timers that libraries leave behind are no reason to stay
    this.exit(this.endsWith);
  }

  /**
   * Tells of each of many things when it is removed, beside a bar; Ctrl-C ends it between two of them.
   * @param unit what they are called: `carts`
   * @param bytes how large one was
   */
  protected async purge<T>(
    unit: string,
    removed: AsyncIterable<T>,
    bytes: (thing: T) => number,
    tell: (thing: T) => void,
  ): Promise<void> {
    const progress = startProgress('purging', { unit });
    try {
      for await (const thing of removed) {
        progress.add(bytes(thing));
        progress.file();
        progress.wipe();
        tell(thing);
        if (!this.signal.aborted) continue;
        throw new PacificaError('aborted', 'interrupted', { hint: `the same command goes on with the other ${unit}` });
      }
    } finally {
      progress.stop();
    }
  }
}

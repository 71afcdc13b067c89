import { PacificaError } from '../lib/errors.js';
import type { Config } from '../config/load.js';
import { BaseCommand } from './base-command.js';
import { URL_SETTINGS } from './client-flags.js';
import { EXIT } from './exit-codes.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A command that talks to a service: it can be stopped by Ctrl-C at any point, and leaves nothing half behind. */
export abstract class ClientCommand extends BaseCommand {
  readonly #interruption = new AbortController();
  readonly #interrupt = (): void => {
    // who asks twice does not want to wait for anything
    if (this.signal.aborted) process.exit(EXIT.interrupted);
    this.#interruption.abort(new PacificaError('aborted', 'interrupted'));
  };

  /** aborted, with a PacificaError `aborted`, when the person or the system wants the command to stop */
  protected get signal(): AbortSignal {
    return this.#interruption.signal;
  }

  /** The configuration, with the URLs that the command line gives. */
  protected async clientConfig(flags: Readonly<Record<string, unknown>>): Promise<Config> {
    return this.configuration(flags, URL_SETTINGS);
  }

  protected override async init(): Promise<void> {
    await super.init();
    for (const signal of SIGNALS) process.on(signal, this.#interrupt);
    if (this.given('--debug')) (await import('./http-trace.js')).traceHttp();
  }

  protected override async catch(error: Error): Promise<never> {
    // what was under way fails with errors of its own when it is stopped
    const stopped = this.signal.aborted && !(error instanceof PacificaError && error.code === 'aborted');
    return super.catch(stopped ? new PacificaError('aborted', 'interrupted', { cause: error }) : error);
  }

  protected override async finally(error: Error | undefined): Promise<void> {
    for (const signal of SIGNALS) process.off(signal, this.#interrupt);
    await super.finally(error);
  }
}

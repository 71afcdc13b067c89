import { retrying } from '../client/http.js';
import type { Config } from '../config/load.js';
import { PacificaError, systemCode } from '../lib/errors.js';
import { inOrder } from '../lib/in-order.js';
import type { Patience } from '../lib/persist.js';
import { BaseCommand, stdoutError } from './base-command.js';
import { URL_SETTINGS } from './client-flags.js';
import { Errors } from './oclif.js';
import { EXIT, exitCodeOf, exitCodeOfAll } from './exit-codes.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A command that talks to a service: it can be stopped by Ctrl-C at any point, and leaves nothing half behind. */
export abstract class ClientCommand extends BaseCommand {
  readonly #interruption = new AbortController();
  readonly #interrupt = (): void => {
    // who asks twice does not want to wait for anything
    if (this.signal.aborted) process.exit(EXIT.interrupted);
    this.#interruption.abort(new PacificaError('aborted', 'interrupted'));
  };

  /**
   * Whether the command does more than print. When nothing more can be printed it stops then as by Ctrl-C, so that it
   * cleans up, and does not end as if all had been done.
   */
  protected doesMore = false;
  #unprintable: { readonly error: PacificaError; readonly unread: boolean } | undefined;
  #end: 'well' | 'badly' | undefined;

  /** aborted, with a PacificaError `aborted`, when the person or the system wants the command to stop */
  protected get signal(): AbortSignal {
    return this.#interruption.signal;
  }

  protected override get patience(): Patience {
    return { ...super.patience, signal: this.signal };
  }

  /** The configuration, with the URLs that the command line gives. */
  protected async clientConfig(flags: Readonly<Record<string, unknown>>): Promise<Config> {
    return this.configuration(flags, URL_SETTINGS);
  }

  /**
   * Does it for each of many things, and goes on when one fails: errors are shown where they come up, and `done` is
   * called, in the order of the things, for those that went well. What may pass is tried again for 30 s; a service
   * that can not be reached then ends it all.
   * @param jobs how many are under way at a time
   * @param work is told the number of the try, from 1
   */
  protected async forEach<T, R>(
    items: Iterable<T> | AsyncIterable<T>,
    jobs: number,
    work: (item: T, attempt: number) => Promise<R>,
    done: (item: T, value: R) => void,
  ): Promise<Error[]> {
    const errors: Error[] = [];
    const retried = (item: T): Promise<R> => {
      let attempt = 0;
      return retrying(() => work(item, (attempt += 1)), { signal: this.signal });
    };
    for await (const outcome of inOrder(items, retried, jobs)) {
      this.signal.throwIfAborted();
      if (outcome.error === undefined) {
        done(outcome.item, outcome.value);
        continue;
      }
      if (exitCodeOf(outcome.error) === EXIT.tryLater) throw outcome.error;
      this.showError(outcome.error);
      errors.push(outcome.error);
    }
    return errors;
  }

  /** Ends the command when some failed: with the exit code that they have in common, else 1. */
  protected endWith(errors: readonly Error[]): void {
    if (errors.length > 0) this.exit(exitCodeOfAll(errors));
  }

  protected override async init(): Promise<void> {
    await super.init();
    for (const signal of SIGNALS) process.on(signal, this.#interrupt);
    if (this.given('--debug')) (await import('./http-trace.js')).traceHttp();
  }

  protected override async catch(error: Error): Promise<never> {
    // what was under way fails with errors of its own when it is stopped
    if (this.#unprintable !== undefined && !(isDone(error) && this.#unprintable.unread)) {
      return super.catch(this.#unprintable.error);
    }
    const stopped = this.signal.aborted && !(error instanceof PacificaError && error.code === 'aborted');
    return super.catch(stopped ? new PacificaError('aborted', 'interrupted', { cause: error }) : error);
  }

  protected override async finally(error: Error | undefined): Promise<void> {
    this.#end = error === undefined || isDone(error) ? 'well' : 'badly';
    for (const signal of SIGNALS) process.off(signal, this.#interrupt);
    await super.finally(error);
    // all was done, and what was to be told of it is lost
    if (error === undefined && this.#unprintable?.unread === false) this.exit(this.showError(this.#unprintable.error));
  }

  protected override stdoutFailed(error: Error): void {
    // its own code is on its way
    if (this.#end === 'badly') return;
    if (!this.doesMore || this.#end === 'well') {
      super.stdoutFailed(error);
      return;
    }
    const unread = systemCode(error) === 'EPIPE';
    this.#unprintable ??= {
      unread,
      error: unread
        ? new PacificaError('internal', 'nobody reads what is printed any more: stopped before all was done', {
            hint: 'write it to a file, and look at that',
            cause: error,
          })
        : stdoutError(error),
    };
    this.#interruption.abort(this.#unprintable.error);
  }
}

/** Commands that do not wait for what libraries leave behind end with a code, also when all is done. */
function isDone(error: Error): boolean {
  return error instanceof Errors.ExitError && error.oclif.exit === EXIT.done;
}

import { retrying } from '../client/http.js';
import { ClientCommand } from './client-command.js';
import { EXIT, exitCodeOf, exitCodeOfAll } from './exit-codes.js';
import { inOrder } from '../lib/in-order.js';

/** A command that does something with files of the archive. */
export abstract class ArchiveCommand extends ClientCommand {
  /**
   * Does it for each of many things, and goes on when one fails: errors are shown where they come up, and `done` is
   * called, in the order of the things, for those that went well. What may pass is tried again for 30 s; an archive that
   * can not be reached then ends it all.
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
}

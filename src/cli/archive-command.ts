import { retrying } from '../client/http.js';
import type { ArchiveId } from '../lib/archive-id.js';
import { ClientCommand } from './client-command.js';
import { EXIT, exitCodeOf, exitCodeOfAll } from './exit-codes.js';
import { inOrder } from './in-order.js';

/** A command that does something with files of the archive. */
export abstract class ArchiveCommand extends ClientCommand {
  /**
   * Does it for each id, and goes on when one fails: errors are shown where they come up, and `done` is called, in the
   * order of the ids, for those that went well. What may pass is tried again for 30 s; an archive that can not be
   * reached then ends it all.
   */
  protected async forEach<R>(
    ids: readonly ArchiveId[],
    work: (id: ArchiveId) => Promise<R>,
    done: (id: ArchiveId, value: R) => void,
  ): Promise<Error[]> {
    const errors: Error[] = [];
    const retried = (id: ArchiveId): Promise<R> => retrying(() => work(id), { signal: this.signal });
    for await (const outcome of inOrder(ids, retried)) {
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

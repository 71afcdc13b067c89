import { mayPass, messageOf, PacificaError } from './errors.js';
import type { JobHandler } from './job-queue.js';

/**
 * Makes the handler of work that is never given up, since there is no row that could say that it has failed: whatever
 * breaks it off is tried again with back-off.
 */
export function neverGivenUp(work: JobHandler): JobHandler {
  return async (id, run) => {
    try {
      await work(id, run);
    } catch (error) {
      run.signal.throwIfAborted();
      throw mayPass(error) ? error : new PacificaError('unavailable', messageOf(error), { cause: error });
    }
  };
}

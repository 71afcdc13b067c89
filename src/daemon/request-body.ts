import type { IncomingMessage } from 'node:http';
import { PacificaError } from '../lib/errors.js';

/**
 * The body of a request, as it comes. Leaving it early does not cut the connection: the answer goes out on it.
 * @throws PacificaError `aborted` when the client hangs up before all of it came
 */
export async function* requestBody(req: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const piece of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) yield piece;
  } catch (error) {
    throw new PacificaError('aborted', 'the client hung up before all of the body came', { cause: error });
  }
  // a connection that was cut can look like an end
  if (!req.complete) throw new PacificaError('aborted', 'the client hung up before all of the body came');
}

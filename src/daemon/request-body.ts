import type { IncomingMessage } from 'node:http';
import { PacificaError } from '../lib/errors.js';
import { noteReceived } from '../lib/received.js';
import { formatSize } from '../lib/sizes.js';

/**
 * The body of a request, as it comes. Leaving it early does not cut the connection: the answer goes out on it.
 * @throws PacificaError `aborted` when the client hangs up before all of it came
 */
export async function* requestBody(req: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const piece of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      noteReceived(piece.length);
      yield piece;
    }
  } catch (error) {
    throw new PacificaError('aborted', 'the client hung up before all of the body came', { cause: error });
  }
  // a connection that was cut can look like an end
  if (!req.complete) throw new PacificaError('aborted', 'the client hung up before all of the body came');
}

/**
 * As {@link requestBody}, up to a limit.
 * @param limit bytes
 * @throws PacificaError `too-large` beyond it: before the first byte when the length is announced
 */
export async function* limitedBody(req: IncomingMessage, limit: number): AsyncGenerator<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  let length = 0;
  for await (const piece of requestBody(req)) {
    length += piece.length;
    if (length > limit) throw tooLarge(limit);
    yield piece;
  }
}

/** @param limit bytes */
function tooLarge(limit: number): PacificaError {
  return new PacificaError('too-large', `the request's body is larger than ${formatSize(limit)}`);
}

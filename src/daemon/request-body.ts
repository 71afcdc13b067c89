import type { IncomingMessage } from 'node:http';
import { PacificaError } from '../lib/errors.js';
import { noteReceived } from '../lib/received.js';
import { formatSize } from '../lib/sizes.js';

/**
 * The body of a request, in the pieces in which it comes, each in memory of its own. Leaving it early does not cut the
 * connection: the answer goes out on it.
 * @throws PacificaError `aborted` when the client hangs up before all of it came
 */
export async function* requestBody(req: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const piece of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      noteReceived(piece.length);
      yield piece;
    }
  } catch (error) {
    throw hungUp(error);
  }
  // a connection that was cut can look like an end
  if (!req.complete) throw hungUp();
}

/** @param cause what the connection told */
export function hungUp(cause?: unknown): PacificaError {
  return new PacificaError('aborted', 'the client hung up before all of the body came', { cause });
}

/**
 * As {@link requestBody}, up to a limit.
 * @param limit bytes
 * @param remedy what can be done about a longer one, with the setting that the limit is, where it is one
 * @throws PacificaError `too-large` beyond it: before the first byte when the length is announced
 */
export async function* limitedBody(req: IncomingMessage, limit: number, remedy?: string): AsyncGenerator<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limit) throw tooLarge(limit, remedy);
  let length = 0;
  for await (const piece of requestBody(req)) {
    length += piece.length;
    if (length > limit) throw tooLarge(limit, remedy);
    yield piece;
  }
}

function tooLarge(limit: number, remedy: string | undefined): PacificaError {
  const message = `the request's body is larger than the ${formatSize(limit)} that are taken`;
  return new PacificaError('too-large', message, { hint: remedy });
}

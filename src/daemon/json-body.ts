import type { IncomingMessage } from 'node:http';
import { PacificaError } from '../lib/errors.js';
import { formatSize } from '../lib/sizes.js';

/**
 * Reads a request's body that is JSON, whatever its Content-Type says (deployed clients send any or none).
 * @param limit bytes
 * @throws PacificaError `invalid` when it is no JSON, `too-large` beyond the limit
 */
export async function readJsonBody(request: IncomingMessage, limit: number): Promise<unknown> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit) throw tooLarge(limit);
  const chunks: Buffer[] = [];
  let length = 0;
  // leaving the loop must not cut the connection: the answer is still to go out on it
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks, length);
  try {
    // RFC 8259, 8.1: UTF-8; what is none must not be stored as something else
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    throw new PacificaError('invalid', 'Invalid JSON document', { cause: error });
  }
}

function tooLarge(limit: number): PacificaError {
  return new PacificaError('too-large', `the request's body is larger than ${formatSize(limit)}`);
}

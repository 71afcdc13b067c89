import type { IncomingMessage } from 'node:http';
import { PacificaError } from '../lib/errors.js';
import { limitedBody } from './request-body.js';

/**
 * Reads a request's body that is JSON, whatever its Content-Type says (deployed clients send any or none).
 * @param limit bytes
 * @param remedy what can be done about a longer one
 * @throws PacificaError `invalid` when it is no JSON, `too-large` beyond the limit
 */
export async function readJsonBody(request: IncomingMessage, limit: number, remedy?: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of limitedBody(request, limit, remedy)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  try {
    // RFC 8259, 8.1: UTF-8; what is none must not be stored as something else
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch (error) {
    throw new PacificaError('invalid', 'Invalid JSON document', { cause: error });
  }
}

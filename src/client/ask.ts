import { HttpClient } from './http.js';

/** ms that a service gets to answer */
const PATIENCE = 5000;

/**
 * Asks once whether a service is there: any answer that is no fault of its own will do.
 * @param name what it is in messages
 * @returns how far its clock is ahead of ours in ms, as its Date header says (to the second); undefined without one
 * @throws PacificaError `unavailable`, `timeout`, or what a 5xx stands for
 */
export async function ask(name: string, url: string, signal: AbortSignal): Promise<number | undefined> {
  const http = new HttpClient(name);
  try {
    const response = await http.request({
      method: 'GET',
      url,
      headersTimeout: PATIENCE,
      signal: AbortSignal.any([signal, AbortSignal.timeout(2 * PATIENCE)]),
    });
    const received = Date.now();
    if (response.status >= 500) throw await http.serviceError(response);
    await response.discard();
    const date = Date.parse(response.header('date') ?? '');
    return Number.isNaN(date) ? undefined : date - received;
  } finally {
    await http.close();
  }
}

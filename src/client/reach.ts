import { HttpClient, retrying } from './http.js';

/**
 * Waits until a service answers at all, 30 s at most: before work that can not be done twice.
 * @param service its name in messages: `the archive`
 * @param url its base URL, without a slash at its end
 * @throws PacificaError `unavailable`, `timeout`
 */
export async function reach(service: string, url: string, signal: AbortSignal | undefined): Promise<void> {
  const http = new HttpClient(service);
  try {
    await retrying(
      async () => {
        const response = await http.request({ method: 'GET', url: `${url}/`, signal });
        if (response.status >= 500) throw await http.serviceError(response);
        await response.discard();
      },
      { signal },
    );
  } finally {
    await http.close();
  }
}

import { describe, expect, it } from 'vitest';
import { waitForService } from '../../src/client/wait-for-service.js';
import { startServer } from '../support/server.js';

describe('waitForService', () => {
  it('returns when the service answers with 200', async () => {
    let asked = 0;
    const server = await startServer((_, res) => {
      asked += 1;
      res.writeHead(asked < 3 ? 503 : 200).end('{}');
    });
    const reasons: string[] = [];
    await waitForService('the metadata service', server.url, {
      attempts: 10,
      waitMs: 1,
      onWait: (reason) => reasons.push(reason),
    });
    expect(asked).toBe(3);
    expect(reasons).toHaveLength(2);
    expect(reasons[1]).toMatch(/metadata service.*try 2 of 10.*503/);
    await server.close();
  });

  it('gives up after as many tries as it may', async () => {
    const server = await startServer(() => undefined);
    await server.close();
    const waiting = waitForService('the metadata service', server.url, { attempts: 3, waitMs: 1 });
    await expect(waiting).rejects.toMatchObject({ code: 'unavailable', hint: expect.any(String) as string });
  });

  it('asks not at all when it is told so', async () => {
    await waitForService('the metadata service', 'http://127.0.0.1:1', { attempts: 0, waitMs: 1 });
  });

  it('ends when it is told to', async () => {
    const stop = new AbortController();
    const waiting = waitForService('the metadata service', 'http://127.0.0.1:1', {
      attempts: 1000,
      waitMs: 60_000,
      onWait: () => stop.abort(),
      signal: stop.signal,
    });
    await expect(waiting).rejects.toThrow(/abort/i);
  });
});

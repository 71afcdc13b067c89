import { expect, it } from 'vitest';
import { ProxyClient } from '../../src/client/proxy-client.js';
import { pacifica } from '../support/cli.js';
import { startServer } from '../support/server.js';

it('a file on tape is not ready yet, which scripts can tell from every other failure', async () => {
  const server = await startServer((_, res) => {
    res.writeHead(202, { 'Content-Type': 'application/json', 'Retry-After': '30' }).end('{"message": "on tape"}');
  });
  const client = new ProxyClient(server.url);
  await expect(client.get('sha1', '0'.repeat(40))).rejects.toMatchObject({
    code: 'not-ready',
    hint: expect.stringContaining('30 s') as string,
  });
  await client.close();
  const { code, stderr } = await pacifica(['proxy', 'get', 'sha1', '0'.repeat(40), '--proxy-url', server.url]);
  expect([code, stderr]).toEqual([4, expect.stringContaining('is on tape')]);
  await server.close();
});

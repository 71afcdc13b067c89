import { connect, createServer, type AddressInfo, type Server } from 'node:net';

export interface CuttingProxy {
  /** base URL without a slash at the end */
  readonly url: string;
  /** connections that were cut so far */
  cuts(): number;
  close(): void;
}

/** Passes on to a server of this machine, and cuts a connection when more than `after` bytes of answers went over it. */
export async function cuttingProxy(to: string, after: number): Promise<CuttingProxy> {
  let cuts = 0;
  const server: Server = createServer((client) => {
    const upstream = connect(Number(new URL(to).port), '127.0.0.1');
    let sent = 0;
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      client.write(chunk, () => {
        if (sent <= after || client.destroyed) return;
        cuts += 1;
        client.destroy();
      });
    });
    upstream.on('close', () => client.end());
    client.on('close', () => upstream.destroy());
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cuts: () => cuts,
    close: () => server.close(),
  };
}

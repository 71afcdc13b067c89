import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A way to a server that can be cut. */
export interface TcpGate {
  readonly port: number;
  /** cuts all connections; new ones are refused */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Opens a port that leads to another port of this machine. */
export async function tcpGate(to: number): Promise<TcpGate> {
  const sockets = new Set<Socket>();
  const open = async (port: number): Promise<Server> => {
    const server = createServer((here) => {
      const there = connect(to, '127.0.0.1');
      for (const socket of [here, there]) {
        sockets.add(socket);
        // one end is cut with the other
        socket.on('error', () => undefined);
        socket.on('close', () => {
          here.destroy();
          there.destroy();
          sockets.delete(socket);
        });
      }
      here.pipe(there).pipe(here);
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  let server = await open(0);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    async down() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
    async up() {
      server = await open(address.port);
    },
  };
}

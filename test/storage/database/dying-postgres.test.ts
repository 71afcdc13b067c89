import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openJobQueue } from '../../../src/jobs/jobs.js';
import { Database } from '../../../src/storage/database/database.js';
import { sqlitePlace } from '../../support/job-places.js';
import { silent } from '../../support/log.js';

// A server that is stopped while somebody connects: "ready for query" and the end arrive in one piece. The driver tells
// of that as an event, before anybody can listen to it: it must not end the process.

/** One message of PostgreSQL's protocol (its documentation, "Message Formats"). */
function message(type: string, body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
}

const AUTHENTICATION_OK = message('R', Buffer.alloc(4));
const READY = message('Z', Buffer.from('I'));
const FATAL = message('E', Buffer.from('SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0'));

let server: Server;
let url: string;
let connections = 0;
const sockets = new Set<Socket>();
beforeAll(async () => {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => {
      connections += 1;
      socket.end(Buffer.concat([AUTHENTICATION_OK, READY, FATAL]));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  url = `postgres://me@127.0.0.1:${address.port}/none`;
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, 'close');
});

it('is an error of the database', async () => {
  await expect(Database.open(url)).rejects.toMatchObject({ code: 'unavailable' });
  expect(connections).toBeGreaterThan(0);
});

it('is an error of the job queue', async () => {
  const place = await sqlitePlace();
  const options = { handlers: new Map(), lockLifetimeMs: 1000, concurrency: 1, work: false, log: silent };
  await expect(openJobQueue({ ...place, ...options, url })).rejects.toMatchObject({ code: 'unavailable' });
  await place.close();
});

import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeGently, createHttpServer } from '../../src/daemon/http-server.js';
import { requestBlocks } from '../../src/daemon/request-blocks.js';

const MiB = 1024 * 1024;

let server: Server;
let read: (req: IncomingMessage) => Promise<string>;

beforeEach(async () => {
  server = createServer((req, res) => {
    read(req).then(
      (text) => res.end(text),
      () => res.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

function port(): number {
  return (server.address() as AddressInfo).port;
}

function sha1(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** Sends pieces, waiting for the connection. @returns the answer's body */
async function send(pieces: Iterable<Buffer>, headers: Record<string, string | number> = {}): Promise<string> {
  const req = request({ port: port(), host: '127.0.0.1', method: 'PUT', headers });
  const answered = once(req, 'response') as Promise<[IncomingMessage]>;
  for (const piece of pieces) if (!req.write(piece)) await once(req, 'drain');
  req.end();
  const [res] = await answered;
  let text = '';
  for await (const part of res.setEncoding('utf8')) text += part as string;
  return text;
}

/** Reads a body as a disk would: what was handed out is looked at again after a while, when more has come. */
async function hashLate(req: IncomingMessage): Promise<string> {
  const hash = createHash('sha1');
  for await (const block of requestBlocks(req)) {
    for (let turn = randomInt(5); turn > 0; turn -= 1) await nextTurn();
    hash.update(block);
  }
  return hash.digest('hex');
}

test.each([
  ['nothing', 0, 0, true],
  ['one byte', 1, 1, true],
  ['just a block', 4, 65_536, true],
  ['a block and a byte', 1, 262_145, true],
  ['many small pieces', 3000, 700, false],
  ['large pieces of all lengths', 40, 600_000, false],
])('gives the bytes that were sent: %s', async (_name, count, most, exact) => {
  read = hashLate;
  const pieces = Array.from({ length: count }, () => randomBytes(exact ? most : 1 + randomInt(most)));
  expect(await send(pieces)).toBe(sha1(Buffer.concat(pieces)));
});

test('many bodies at once, more than get large blocks, do not get at the bytes of one another', async () => {
  read = hashLate;
  const bodies = Array.from({ length: 40 }, () => randomBytes(MiB + randomInt(MiB)));
  const answers = await Promise.all(bodies.map((body) => send([body])));
  expect(answers).toEqual(bodies.map(sha1));
});

test('what a slow client sent is handed out, though it fills no block', async () => {
  let handedOut: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (handedOut = resolve));
  read = async (req) => {
    let text = '';
    for await (const block of requestBlocks(req)) {
      text += `${block.toString()}|`;
      handedOut();
    }
    return text;
  };
  const req = request({ port: port(), host: '127.0.0.1', method: 'PUT' });
  const answered = once(req, 'response') as Promise<[IncomingMessage]>;
  req.write('one');
  // the rest is not sent before that
  await first;
  req.end('two');
  const [res] = await answered;
  expect((await res.toArray()).join('')).toBe('one|two|');
});

test('a client that hangs up in the middle is told of, after what came', async () => {
  const told = new Promise<{ bytes: number; error: unknown }>((resolve) => {
    read = async (req) => {
      let bytes = 0;
      try {
        for await (const block of requestBlocks(req)) bytes += block.length;
      } catch (error) {
        resolve({ bytes, error });
        throw error;
      }
      return '';
    };
  });
  const socket = connect(port(), '127.0.0.1');
  socket.write(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${10 * MiB}\r\n\r\n`);
  socket.write(Buffer.alloc(3 * MiB));
  await once(socket, 'drain');
  socket.end();
  const { bytes, error } = await told;
  expect(error).toMatchObject({ code: 'aborted' });
  expect(bytes).toBe(3 * MiB);
});

test('a client that hung up before anybody read is told of', async () => {
  const told = new Promise<unknown>((resolve) => {
    read = async (req) => {
      await new Promise((closed) => req.once('close', closed));
      const body = requestBlocks(req);
      await body.next().catch(resolve);
      return '';
    };
  });
  const socket = connect(port(), '127.0.0.1');
  socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc');
  await once(server, 'request');
  socket.destroy();
  expect(await told).toMatchObject({ code: 'aborted' });
});

test('a client is held up while nobody reads: no more than some blocks are in memory', async () => {
  let goOn: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  let reading: IncomingMessage | undefined;
  read = async (req) => {
    const hash = createHash('sha1');
    for await (const block of requestBlocks(req)) {
      reading = req;
      await held;
      hash.update(block);
    }
    return hash.digest('hex');
  };
  const body = randomBytes(64 * MiB);
  const socket = connect(port(), '127.0.0.1');
  socket.write(`PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
  socket.write(body);
  // until it is paused, and for as long as it takes to read what was under way
  while (reading?.isPaused() !== true) await nextTurn();
  for (let turn = 0; turn < 500; turn += 1) await nextTurn();
  expect(reading.socket.bytesRead).toBeLessThan(2 * MiB);
  goOn();
  let answer = '';
  for await (const part of socket.setEncoding('latin1')) answer += part as string;
  expect(answer.endsWith(sha1(body))).toBe(true);
});

test('a body that is left early lets the answer go out', async () => {
  read = async (req) => {
    for await (const block of requestBlocks(req)) return `had ${block.length > 0 ? 'enough' : 'nothing'}`;
    return 'nothing';
  };
  const req = request({ port: port(), host: '127.0.0.1', method: 'PUT', headers: { 'Content-Length': 5 * MiB } });
  req.on('error', () => undefined);
  req.write(Buffer.alloc(MiB));
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  expect((await res.toArray()).join('')).toBe('had enough');
  req.destroy();
});

test('a refusal in the middle is read by a client that sends on, though a reader was left behind', async () => {
  const gentle = createHttpServer({}, (req, res) => {
    const body = requestBlocks(req);
    void body.next().then(() => {
      body.next().catch(() => undefined);
      res.writeHead(503, { Connection: 'close' });
      closeGently(req);
      res.end('not now');
    });
  });
  gentle.listen(0, '127.0.0.1');
  await once(gentle, 'listening');
  const socket = connect((gentle.address() as AddressInfo).port, '127.0.0.1');
  const errors: unknown[] = [];
  socket.on('error', (error) => errors.push(error));
  const length = 40 * MiB;
  socket.write(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
  for (let sent = 0; sent < length; sent += MiB) if (!socket.write(Buffer.alloc(MiB))) await once(socket, 'drain');
  let answer = '';
  for await (const part of socket.setEncoding('latin1')) answer += part as string;
  gentle.close();
  expect(errors).toEqual([]);
  expect(answer).toMatch(/^HTTP\/1.1 503 [\s\S]*not now/);
});

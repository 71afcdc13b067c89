import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { sendRange } from '../../src/daemon/send.js';
import type { RandomReader } from '../../src/lib/random-reader.js';

const MiB = 1024 * 1024;

/** A client that takes everything at once, as those on loopback nearly do. */
class Greedy extends Socket {
  taken = 0;

  override _write(piece: Buffer, _encoding: string, done: () => void): void {
    this.taken += piece.length;
    done();
  }

  override _writev(pieces: { chunk: Buffer }[], done: () => void): void {
    for (const { chunk } of pieces) this.taken += chunk.length;
    done();
  }
}

test('a transfer that never has to wait lets others have the event loop all the same', async () => {
  const size = 64 * MiB;
  const reader: RandomReader = {
    size,
    read: (buffer, position) => Promise.resolve(Math.min(buffer.length, size - position)),
    close: () => Promise.resolve(),
  };
  const client = new Greedy();
  const res = new ServerResponse(new IncomingMessage(client));
  res.assignSocket(client);
  res.setHeader('Content-Length', size);
  let turns = 0;
  let done = false;
  const turn = (): void => {
    turns += 1;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  await sendRange(res, reader, 0, size);
  done = true;
  expect(client.taken).toBeGreaterThanOrEqual(size);
  // none without; a MiB is read and sent in a ms or so
  expect(turns).toBeGreaterThanOrEqual(64);
});

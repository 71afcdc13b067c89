import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { sendRange } from '../../src/daemon/send.js';
import type { RandomReader } from '../../src/lib/random-reader.js';
import { countingTurns } from '../support/counting-turns.js';

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

test.each([1, 16])(
  '%i transfers that never have to wait let others have the event loop all the same',
  async (count) => {
    const size = (64 * MiB) / count;
    const reader: RandomReader = {
      size,
      read: (buffer, position) => Promise.resolve(Math.min(buffer.length, size - position)),
      close: () => Promise.resolve(),
    };
    const send = async (): Promise<void> => {
      const client = new Greedy();
      const res = new ServerResponse(new IncomingMessage(client));
      res.assignSocket(client);
      res.setHeader('Content-Length', size);
      await sendRange(res, reader, 0, size);
      expect(client.taken).toBeGreaterThanOrEqual(size);
    };
    const turns = await countingTurns(() => Promise.all(Array.from({ length: count }, send)));
    // none without; two MiB are read and sent in a ms or two
    expect(turns).toBeGreaterThanOrEqual(30);
  },
);

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { PacificaError } from '../lib/errors.js';
import { giveBuffer, SMALL_BUFFER, takeBuffer, transferSize } from '../lib/io-buffer.js';
import type { RandomReader } from '../lib/random-reader.js';
import { Turn } from '../lib/turn.js';

/** buffers of a transfer that go round: one being read into while the other is on its way to the socket */
const BUFFERS = 2;
/** bytes of large files that all transfers send in one turn of the event loop */
const turn = new Turn(2 * 1024 * 1024);

let transfers = 0;

/**
 * Sends bytes `[start, end)` of a reader as the response's body and ends it. Headers are set by the caller.
 * Reads into a few buffers that go round, and waits for the socket: memory does not grow with the file, and hardly with
 * the number of clients. (Measured: 2 to 5 times the throughput of createReadStream().pipe().)
 * @throws PacificaError `aborted` when the client hangs up; `integrity` when the bytes end too early. The caller then
 * cuts the connection, which is how the client learns of it.
 */
export async function sendRange(res: ServerResponse, reader: RandomReader, start: number, end: number): Promise<void> {
  // one read is enough
  if (end - start <= SMALL_BUFFER) {
    await sendSmall(res, reader, start, end);
    return;
  }
  transfers += 1;
  const free: Buffer[] = [];
  let out = 0;
  let wake: (() => void) | undefined;
  let failed: Error | undefined;
  const onClose = (): void => {
    failed ??= new PacificaError('aborted', 'the client hung up');
    wake?.();
  };
  res.once('close', onClose);
  try {
    if (res.destroyed) onClose();
    for (let position = start; position < end;) {
      while (out === BUFFERS && failed === undefined) await new Promise<void>((resolve) => (wake = resolve));
      const buffer = free.pop() ?? takeBuffer(transferSize(transfers));
      const wanted = buffer.subarray(0, end - position);
      const room = turn.take(wanted.length);
      if (room !== undefined) await room;
      if (failed !== undefined) throw failed;
      const got = await reader.read(wanted, position);
      if (got === 0) throw tooShort(position, end);
      position += got;
      out += 1;
      res.write(buffer.subarray(0, got), (error) => {
        if (error) failed ??= new PacificaError('aborted', 'the client hung up', { cause: error });
        out -= 1;
        free.push(buffer);
        wake?.();
      });
    }
    if (failed !== undefined) throw failed;
    res.off('close', onClose);
    res.end();
    if (!res.writableFinished && !res.destroyed) await Promise.race([once(res, 'finish'), once(res, 'close')]);
    // what broke off may still be held by the socket
    if (res.writableFinished && out === 0) free.forEach(giveBuffer);
  } finally {
    transfers -= 1;
    res.off('close', onClose);
  }
}

async function sendSmall(res: ServerResponse, reader: RandomReader, start: number, end: number): Promise<void> {
  if (start === end) {
    res.end();
    return;
  }
  const buffer = takeBuffer(SMALL_BUFFER);
  const bytes = buffer.subarray(0, end - start);
  if ((await reader.read(bytes, start)) < bytes.length) throw tooShort(start, end);
  // what broke off may still be held by the socket
  res.end(bytes, () => {
    if (res.writableFinished) giveBuffer(buffer);
  });
}

function tooShort(position: number, end: number): PacificaError {
  return new PacificaError('integrity', `the bytes end at ${position}, ${end} were announced`);
}

/** Sends a stream of chunks as the response's body and ends it, waiting for the socket. Errors as {@link sendRange}. */
export async function sendStream(res: ServerResponse, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks) {
    if (res.destroyed) throw new PacificaError('aborted', 'the client hung up');
    if (!res.write(chunk)) await Promise.race([once(res, 'drain'), once(res, 'close')]);
  }
  if (res.destroyed) throw new PacificaError('aborted', 'the client hung up');
  res.end();
  if (!res.writableFinished) await Promise.race([once(res, 'finish'), once(res, 'close')]);
}

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { PacificaError } from '../lib/errors.js';
import { type RandomReader, READ_SIZE } from '../lib/random-reader.js';

/** buffers that go round: one being read into while the others are on their way to the socket */
const BUFFERS = 3;

/**
 * Sends bytes `[start, end)` of a reader as the response's body and ends it. Headers are set by the caller.
 * Reads 1 MiB at a time into a few buffers that go round, and waits for the socket: memory does not grow with the file
 * or with slow clients. (Measured: 2 to 5 times the throughput of createReadStream().pipe().)
 * @throws PacificaError `aborted` when the client hangs up; `integrity` when the bytes end too early. The caller then
 * cuts the connection, which is how the client learns of it.
 */
export async function sendRange(res: ServerResponse, reader: RandomReader, start: number, end: number): Promise<void> {
  const length = end - start;
  const size = Math.min(READ_SIZE, length);
  const free: Buffer[] = [];
  let made = 0;
  let wake: (() => void) | undefined;
  let failed: Error | undefined;
  const onClose = (): void => {
    failed ??= new PacificaError('aborted', 'the client hung up');
    wake?.();
  };
  res.once('close', onClose);
  try {
    if (res.destroyed) onClose();
    let position = start;
    while (position < end) {
      let buffer = free.pop();
      if (buffer === undefined && made < BUFFERS) {
        buffer = Buffer.allocUnsafe(size);
        made += 1;
      }
      if (failed !== undefined) throw failed;
      if (buffer === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      const want = Math.min(buffer.length, end - position);
      const got = await reader.read(want === buffer.length ? buffer : buffer.subarray(0, want), position);
      if (got === 0) throw new PacificaError('integrity', `the bytes end at ${position}, ${end} were announced`);
      position += got;
      const sent = buffer;
      res.write(got === sent.length ? sent : sent.subarray(0, got), (error) => {
        if (error) failed ??= new PacificaError('aborted', 'the client hung up', { cause: error });
        free.push(sent);
        wake?.();
      });
    }
    if (failed !== undefined) throw failed;
    res.off('close', onClose);
    res.end();
    if (!res.writableFinished && !res.destroyed) await Promise.race([once(res, 'finish'), once(res, 'close')]);
  } finally {
    res.off('close', onClose);
  }
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

import { PacificaError } from './errors.js';

/** Passes on what a stream gives until `signal` is aborted: then it throws, without waiting for the stream. */
export async function* abortable<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(abortError(signal));
  });
  aborted.catch(() => undefined);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  try {
    for (;;) {
      const next = await Promise.race([aborted, iterator.next()]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    // not waited for: a stream that is stuck would hold us up
    iterator.return?.().catch(() => undefined);
  }
}

/** @returns the reason of an aborted signal, as an error of ours */
export function abortError(signal: AbortSignal): PacificaError {
  return signal.reason instanceof PacificaError
    ? signal.reason
    : new PacificaError('aborted', 'the transfer was stopped', { cause: signal.reason });
}

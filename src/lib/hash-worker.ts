import type { createHash, Hash } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';

/** What a thread is asked: to take bytes of a stream, which lie in shared memory, or to end it. */
export type HashTask =
  | {
      readonly stream: number;
      readonly types: readonly string[];
      readonly memory: SharedArrayBuffer;
      readonly length: number;
    }
  | { readonly stream: number; readonly end: 'digest' | 'discard' };

/** Hashes in hex, in the order of the types, for a digest; an answer to every task, in their order. */
export type HashAnswer = readonly string[] | null;

/**
 * What runs in a thread. It uses nothing from outside of it: its text is what the thread is started with, so that no
 * file has to be found at run time.
 */
export function hashWorker(port: MessagePort, create: typeof createHash): void {
  const streams = new Map<number, Hash[]>();
  const answerTo = (task: HashTask): HashAnswer => {
    let hashes = streams.get(task.stream);
    if ('end' in task) {
      streams.delete(task.stream);
      return task.end === 'digest' && hashes !== undefined ? hashes.map((hash) => hash.digest('hex')) : null;
    }
    if (hashes === undefined) {
      hashes = task.types.map((type) => create(type));
      streams.set(task.stream, hashes);
    }
    const bytes = new Uint8Array(task.memory, 0, task.length);
    for (const hash of hashes) hash.update(bytes);
    return null;
  };
  port.on('message', (task: HashTask) => port.postMessage(answerTo(task)));
}

import { createHash, type Hash } from 'node:crypto';
import { ThreadHashes } from './hash-threads.js';
import { hasSpareProcessors } from './spare-processors.js';

/** Hashes of a stream that are taken while it passes. Call {@link digest} or {@link discard} at the end. */
export interface StreamHashes {
  /** Takes a piece, whose memory is the caller's again when this resolves. */
  update(piece: Uint8Array): Promise<void> | undefined;
  /** @returns hashes in lower-case hex, in the order of the types */
  digest(): Promise<readonly string[]>;
  /** Forgets the stream. */
  discard(): void;
}

/** @param types as Node's crypto names them */
export function streamHashes(types: readonly string[]): StreamHashes {
  return hasSpareProcessors ? new ThreadHashes(types) : new HashesHere(types);
}

/** Takes pieces as they come, in this thread. */
export class HashesHere implements StreamHashes {
  readonly #hashes: readonly Hash[];

  constructor(types: readonly string[]) {
    this.#hashes = types.map((type) => createHash(type));
  }

  update(piece: Uint8Array): undefined {
    for (const hash of this.#hashes) hash.update(piece);
  }

  digest(): Promise<readonly string[]> {
    return Promise.resolve(this.#hashes.map((hash) => hash.digest('hex')));
  }

  discard(): void {
    // nothing is held
  }
}

import { ArchiveClient, type ArchiveFileStatus } from '../client/archive-client.js';
import { type RetryOptions, retrying } from '../client/http.js';
import type { ArchiveId } from '../lib/archive-id.js';
import { eachLimit } from '../lib/each-limit.js';
import { mayPass, PacificaError } from '../lib/errors.js';
import type { FileStatus, PutOptions } from '../storage/backends/backend.js';
import type { Archive, ArchiveFile } from './archive.js';
import { SpoolDrafts } from './spool-drafts.js';

/** requests of one bulk call that are under way at a time */
const AT_A_TIME = 16;

export interface RemoteArchiveOptions {
  /** base URL of an archive interface, ours or an original one */
  readonly url: string;
  /** folder on this machine for files whose ids are not known yet */
  readonly spool: string;
  /** ms that a call goes on trying what may pass; 30 s when absent */
  readonly retryBudgetMs?: number;
}

/** The archive on another machine, over HTTP (wire.md, archive part). */
export class RemoteArchive implements Archive {
  readonly drafts: SpoolDrafts;
  readonly #client: ArchiveClient;
  readonly #retry: RetryOptions;

  constructor({ url, spool, retryBudgetMs }: RemoteArchiveOptions) {
    this.#client = new ArchiveClient(url);
    this.#retry = { budgetMs: retryBudgetMs };
    this.drafts = new SpoolDrafts(spool, this, this.#retry);
  }

  /**
   * The body is sent once, whatever happens: what may pass is left to the caller, who may be able to send it again.
   * `exclusive` holds against everybody with ours; an original can only be asked beforehand.
   */
  async put(id: ArchiveId, body: AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<{ size: number }> {
    const { size, signal, mode, beforeVisible } = options;
    const mtimeMs = options.mtimeMs ?? Date.now();
    if (mode === 'exclusive') await this.#requireFree(id);
    const last = async (written: number): Promise<void> => {
      await beforeVisible?.({ size: written, mtimeMs });
    };
    return this.#client.put(id, lookingBeforeTheEnd(body, last), {
      size,
      mtimeMs,
      create: mode === 'exclusive',
      signal,
    });
  }

  async open(id: ArchiveId): Promise<ArchiveFile> {
    const status = await retrying(() => this.#client.status(id), this.#retry);
    const stop = new AbortController();
    return {
      status,
      stream: (start = 0, end = status.size) => this.#stream(id, status, start, end, stop.signal),
      async close() {
        stop.abort(new PacificaError('aborted', `file ${id} was closed while it was read`));
        return Promise.resolve();
      },
    };
  }

  async status(id: ArchiveId): Promise<FileStatus> {
    return retrying(() => this.#client.status(id), this.#retry);
  }

  async stage(ids: readonly ArchiveId[]): Promise<void> {
    await eachLimit(ids, AT_A_TIME, (id) => retrying(() => this.#client.stage(id), this.#retry));
  }

  async move(id: ArchiveId, path: string, options: Pick<PutOptions, 'mode'> = {}): Promise<void> {
    if (options.mode === 'exclusive') await this.#requireFree(id);
    await this.#client.move(id, path, { create: options.mode === 'exclusive' });
  }

  async delete(id: ArchiveId): Promise<void> {
    let attempt = 0;
    await retrying(() => this.#client.deleteAgain(id, (attempt += 1)), this.#retry);
  }

  async sweep(): Promise<void> {
    await this.drafts.sweep();
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #requireFree(id: ArchiveId): Promise<void> {
    try {
      await this.status(id);
    } catch (error) {
      if (error instanceof PacificaError && error.code === 'not-found') return;
      throw error;
    }
    throw new PacificaError('exists', `file ${id} is in the archive already`);
  }

  /** A connection that breaks is taken up again where it broke, if the archive can tell that the file is the same. */
  async *#stream(
    id: ArchiveId,
    status: ArchiveFileStatus,
    start: number,
    end: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let position = start;
    while (position < end) {
      const response = await retrying(() => this.#get(id, status, position, end, signal), { ...this.#retry, signal });
      try {
        for await (const chunk of response.body) {
          position += chunk.length;
          if (position > end) throw wrongLength(id, `more than the ${end - start} bytes asked for came`);
          yield chunk;
        }
        if (position < end) throw wrongLength(id, `${position - start} of ${end - start} bytes came`);
      } catch (error) {
        if (!mayPass(error) || !status.hasEtag) throw error;
      }
    }
  }

  async #get(
    id: ArchiveId,
    status: ArchiveFileStatus,
    start: number,
    end: number,
    signal: AbortSignal,
  ): ReturnType<ArchiveClient['get']> {
    const range = start === 0 && end === status.size ? undefined : { start, end };
    const ifMatch = status.hasEtag ? status.etag : undefined;
    const response = await this.#client.get(id, { range, ifMatch, signal }).catch((error: unknown) => {
      if (error instanceof PacificaError && error.code === 'precondition') {
        throw new PacificaError('integrity', `file ${id} was replaced while it was read`, { cause: error });
      }
      throw error;
    });
    const length = response.header('content-length');
    if (length !== undefined && Number(length) !== end - start) {
      await response.discard();
      throw wrongLength(id, `${length} bytes were announced, ${end - start} were asked for`);
    }
    return response;
  }
}

function wrongLength(id: ArchiveId, what: string): PacificaError {
  return new PacificaError('integrity', `file ${id} of the archive is not as long as it says: ${what}`);
}

/** Holds the last piece back until `last` has seen how much there is: when it throws, the other side gets a cut body. */
async function* lookingBeforeTheEnd(
  body: AsyncIterable<Uint8Array>,
  last: (size: number) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  let held: Uint8Array | undefined;
  for await (const piece of body) {
    if (held !== undefined) yield held;
    held = piece;
    size += piece.length;
  }
  await last(size);
  if (held !== undefined) yield held;
}

import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type RetryOptions, retrying } from '../client/http.js';
import type { ArchiveId } from '../lib/archive-id.js';
import { writeFileDurably } from '../lib/durable-write.js';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { readChunks } from '../lib/random-reader.js';
import { counted } from '../lib/counted.js';
import { Slots } from '../lib/slots.js';
import type { Draft, Drafts, PublishOptions, StoredFile, TransferOptions } from '../storage/backends/backend.js';
import { DraftFolder } from '../storage/backends/posix/draft-folder.js';
import { TemporaryFiles } from '../storage/backends/posix/temporary-files.js';
import type { Archive } from './archive.js';

/** files that are sent, or taken back, at a time */
const AT_A_TIME = 16;

/** Drafts for an archive on another machine: kept in a folder here, and sent there when their ids are known. */
export class SpoolDrafts implements Drafts {
  readonly #folder: DraftFolder;
  readonly #archive: Pick<Archive, 'put' | 'open' | 'delete'>;
  readonly #temporary: TemporaryFiles;
  readonly #transfers = new Slots(AT_A_TIME);
  readonly #retry: RetryOptions;

  constructor(spool: string, archive: Pick<Archive, 'put' | 'open' | 'delete'>, retry: RetryOptions) {
    this.#retry = retry;
    this.#temporary = new TemporaryFiles(join(spool, 'tmp'));
    this.#folder = new DraftFolder(join(spool, 'drafts'), this.#temporary);
    this.#archive = archive;
  }

  create(group: string, name: string): Promise<Draft> {
    return this.#folder.create(group, name);
  }

  sync(group: string): Promise<void> {
    return this.#folder.sync(group);
  }

  open(group: string, name: string): Promise<StoredFile> {
    return this.#folder.open(group, name);
  }

  publish(group: string, name: string, id: ArchiveId, options: PublishOptions = {}): Promise<void> {
    return this.#transfers.run(() => this.#publish(group, name, id, options));
  }

  unpublish(group: string, name: string, id: ArchiveId): Promise<void> {
    return this.#transfers.run(() => this.#unpublish(group, name, id));
  }

  async #publish(
    group: string,
    name: string,
    id: ArchiveId,
    { beforeVisible, ...transfer }: PublishOptions,
  ): Promise<void> {
    const { signal } = transfer;
    signal?.throwIfAborted();
    const draft = await this.#folder.open(group, name);
    try {
      const { size, mtimeMs, etag } = draft.status;
      await beforeVisible?.({ size, mtimeMs });
      const mark = this.#mark(group, name, id, etag);
      let state = await mark.read();
      if (state === 'sent') return;
      const send = async (): Promise<void> => {
        const mayBeOurs = state === 'sending';
        if (!mayBeOurs) await mark.write('sending');
        state = 'sending';
        await this.#send(draft, id, mark, { mayBeOurs, ...transfer });
      };
      await retrying(send, { ...this.#retry, signal });
      await mark.write('sent');
    } finally {
      await draft.close();
    }
  }

  /** @param options.mayBeOurs whether an earlier try may have brought the file there, its answer being lost */
  async #send(
    draft: StoredFile,
    id: ArchiveId,
    mark: Mark,
    { mayBeOurs, signal, onBytes }: { mayBeOurs: boolean } & TransferOptions,
  ): Promise<void> {
    const { size, mtimeMs } = draft.status;
    let sent = 0;
    const body = counted(readChunks(draft), (bytes) => {
      sent += bytes;
      onBytes?.(bytes);
    });
    try {
      await this.#archive.put(id, body, { size, mtimeMs, mode: 'exclusive', signal });
    } catch (error) {
      onBytes?.(-sent);
      if (!isCode(error, 'exists')) throw error;
      if (mayBeOurs && (await this.#holds(id, draft))) return;
      await mark.remove();
      throw error;
    }
  }

  async #unpublish(group: string, name: string, id: ArchiveId): Promise<void> {
    const draft = await this.#folder.open(group, name);
    try {
      const mark = this.#mark(group, name, id, draft.status.etag);
      if ((await mark.read()) === undefined) return;
      if (await this.#holds(id, draft)) await this.#delete(id);
      await mark.remove();
    } finally {
      await draft.close();
    }
  }

  removeGroup(group: string): Promise<void> {
    return this.#folder.removeGroup(group);
  }

  groups(): Promise<string[]> {
    return this.#folder.groups();
  }

  /** Removes what processes that died have begun to write here. */
  async sweep(): Promise<void> {
    await this.#temporary.sweep(async () => Promise.resolve());
  }

  #mark(group: string, name: string, id: ArchiveId, etag: string): Mark {
    const draft = this.#folder.path(group, name);
    // drafts' names never begin with a dot, and neither they nor ids contain a tilde
    return new Mark(join(dirname(draft), `.${basename(draft)}~${id}`), etag);
  }

  async #delete(id: ArchiveId): Promise<void> {
    try {
      await this.#archive.delete(id);
    } catch (error) {
      if (!isCode(error, 'not-found')) throw error;
    }
  }

  /** @returns whether the archive has these very bytes under the id */
  async #holds(id: ArchiveId, draft: StoredFile): Promise<boolean> {
    try {
      const file = await this.#archive.open(id);
      try {
        return file.status.size === draft.size && (await isSame(file.stream(), draft));
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isCode(error, 'not-found')) return false;
      throw error;
    }
  }
}

/**
 * What is kept of a publish, beside the draft: `sending` is written before the first byte goes out, `sent` when the
 * archive said that it has the file. Where there is no mark, a file under the id is not ours.
 */
class Mark {
  readonly #path: string;
  readonly #etag: string;

  /** @param etag version of the draft that the mark speaks of; one of another version counts for nothing */
  constructor(path: string, etag: string) {
    this.#path = path;
    this.#etag = etag;
  }

  async read(): Promise<'sending' | 'sent' | undefined> {
    try {
      const [state, etag] = (await readFile(this.#path, 'utf8')).split(' ');
      return etag === this.#etag && (state === 'sending' || state === 'sent') ? state : undefined;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw wrapSystemError(error, `can not read ${this.#path}`);
    }
  }

  async write(state: 'sending' | 'sent'): Promise<void> {
    try {
      await writeFileDurably(this.#path, `${state} ${this.#etag}`);
    } catch (error) {
      throw wrapSystemError(error, `can not write ${this.#path}`);
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

function isCode(error: unknown, code: PacificaError['code']): boolean {
  return error instanceof PacificaError && error.code === code;
}

async function isSame(stream: AsyncIterable<Uint8Array>, file: StoredFile): Promise<boolean> {
  let position = 0;
  for await (const piece of stream) {
    const own = Buffer.allocUnsafe(piece.length);
    if ((await file.read(own, position)) !== piece.length || !own.equals(piece)) return false;
    position += piece.length;
  }
  return position === file.size;
}

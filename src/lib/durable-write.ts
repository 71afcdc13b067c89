import { randomBytes } from 'node:crypto';
import { constants, writev } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from './errors.js';
import { closeFile, openFile, syncFile, writeSome } from './file-calls.js';

/** bytes gathered before they are written: larger writes are no faster (measured) */
const LARGEST_BATCH = 1024 * 1024;
const SMALLEST_BATCH = 64 * 1024;
/** bytes that all writers of the process together may gather: many at once take smaller batches */
const GATHER_BUDGET = 6 * 1024 * 1024;
/** pieces below this are put together by copying; larger ones are kept as they are */
const SMALL_PIECE = 16 * 1024;
const TAIL_SIZE = 64 * 1024;
/** up to here the one write that is needed is made at once: going through the thread pool takes longer */
const AT_ONCE = 64 * 1024;

/**
 * Writes a stream to an open file: gathers pieces and writes them in large batches, the next one being gathered while
 * one is on its way to the disk. Memory is bounded whatever the size and number of pieces.
 */
export class FileWriter {
  static #open = 0;

  readonly #fd: number;
  #batch: Uint8Array[] = [];
  #gathered = 0;
  #tail: Buffer | undefined;
  #tailUsed = 0;
  #size = 0;
  #writing: Promise<void> | undefined;
  #done = false;

  /** @param file open for writing; stays open until {@link release} */
  constructor({ fd }: { readonly fd: number }) {
    this.#fd = fd;
    FileWriter.#open += 1;
  }

  /** bytes handed over so far */
  get size(): number {
    return this.#size;
  }

  /** Takes a piece. It must not be changed afterwards. Resolves when there is room for more; throws what a write threw. */
  async write(piece: Uint8Array): Promise<void> {
    this.#size += piece.length;
    this.#gathered += piece.length;
    // a first piece may be the only one
    if (piece.length >= SMALL_PIECE || this.#gathered === piece.length) {
      this.#closeTail();
      this.#batch.push(piece);
    } else {
      if (this.#tail === undefined || this.#tail.length - this.#tailUsed < piece.length) {
        this.#closeTail();
        this.#tail = Buffer.allocUnsafe(TAIL_SIZE);
      }
      this.#tail.set(piece, this.#tailUsed);
      this.#tailUsed += piece.length;
    }
    const limit = Math.min(LARGEST_BATCH, Math.max(SMALLEST_BATCH, GATHER_BUDGET / FileWriter.#open));
    if (this.#gathered >= limit) {
      await this.#writing;
      this.#writing = writeAll(this.#fd, this.#takeBatch());
      // heard at the next write or flush
      this.#writing.catch(() => undefined);
    }
  }

  /** Writes what is left. All bytes are with the operating system when it resolves. */
  async flush(): Promise<void> {
    const first = this.#writing === undefined;
    await this.#writing;
    const size = this.#gathered;
    const batch = this.#takeBatch();
    const [only] = batch;
    if (first && size <= AT_ONCE && batch.length === 1 && only !== undefined) {
      for (let at = 0; at < size;) at += await writeSome(this.#fd, only, at);
    } else if (size > 0) {
      this.#writing = writeAll(this.#fd, batch);
      await this.#writing;
    }
  }

  /** Lets go of the writer's share of memory; the file stays open. Waits for a write under way. May be called twice. */
  async release(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    FileWriter.#open -= 1;
    await this.#writing?.catch(() => undefined);
  }

  #closeTail(): void {
    if (this.#tail !== undefined && this.#tailUsed > 0) this.#batch.push(this.#tail.subarray(0, this.#tailUsed));
    this.#tail = undefined;
    this.#tailUsed = 0;
  }

  #takeBatch(): Uint8Array[] {
    this.#closeTail();
    const batch = this.#batch;
    this.#batch = [];
    this.#gathered = 0;
    return batch;
  }
}

/** Writes every byte: a single writev may write less than it was given. */
async function writeAll(fd: number, pieces: Uint8Array[]): Promise<void> {
  let rest = pieces;
  while (rest.length > 0) {
    let bytesWritten = await writeSeveral(fd, rest);
    const next: Uint8Array[] = [];
    for (const piece of rest) {
      if (bytesWritten >= piece.length) bytesWritten -= piece.length;
      else {
        next.push(piece.subarray(bytesWritten));
        bytesWritten = 0;
      }
    }
    rest = next;
  }
}

function writeSeveral(fd: number, pieces: readonly Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, pieces, (error, bytesWritten) => {
      if (error === null) resolve(bytesWritten);
      else reject(error);
    });
  });
}

/** What file systems answer that can not flush a folder (FUSE, SMB), or whose folder is gone by now: nothing left to do. */
const NO_FOLDER_SYNC: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT']);

/** Makes the names in a folder durable: fsync of a file saves its bytes, not its name (fsync(2)). */
export async function syncFolder(path: string): Promise<void> {
  let folder: number | undefined;
  try {
    folder = await openFile(path, constants.O_RDONLY | constants.O_DIRECTORY);
    await syncFile(folder);
  } catch (error) {
    if (!NO_FOLDER_SYNC.has(systemCode(error) ?? '')) throw error;
  } finally {
    if (folder !== undefined) await closeFile(folder);
  }
}

/** {@link syncFolder} for many callers: those that ask while one sync runs share the next one. */
export class FolderSyncer {
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Promise<void>>();

  /** Resolves when every change of the folder that was made before the call is durable. */
  sync(path: string): Promise<void> {
    const waiting = this.#waiting.get(path);
    if (waiting !== undefined) return waiting;
    const running = this.#running.get(path);
    if (running === undefined) return this.#start(path);
    const next = running
      .catch(() => undefined)
      .then(() => {
        this.#waiting.delete(path);
        return this.#start(path);
      });
    this.#waiting.set(path, next);
    return next;
  }

  #start(path: string): Promise<void> {
    const sync = syncFolder(path).finally(() => {
      if (this.#running.get(path) === sync) this.#running.delete(path);
    });
    this.#running.set(path, sync);
    return sync;
  }
}

/** Makes a folder, and those above it that are missing, all of them durable. Nothing to do when it is there. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; ; made = dirname(made)) {
    await syncFolder(dirname(made));
    if (made === first) return;
  }
}

/** Writes a small file as a whole: whoever reads it sees the old text or the new one, also after a power cut. */
export async function writeFileDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(temporary, text, { flag: 'wx', flush: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

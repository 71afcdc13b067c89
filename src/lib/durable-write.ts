import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from './errors.js';
import { closeFile, openFile, syncFile } from './file-calls.js';
import { makeFolders } from './make-folders.js';

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
  const first = await makeFolders(path);
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

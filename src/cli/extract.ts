import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FileSink, TarVisitor } from '../client/cart-tar.js';
import { syncFolder } from '../lib/durable-write.js';
import { FileWriter } from '../lib/file-writer.js';
import { PacificaError, wrapSystemError } from '../lib/errors.js';
import { makeFolders } from '../lib/make-folders.js';

/**
 * Unpacks into a folder. A file gets its name when it is whole, right and on the disk; one of that name is replaced. A
 * symbolic link below the folder is not followed: `forbidden`.
 */
export class Extraction implements TarVisitor {
  readonly #root: string;
  readonly #onBytes: (bytes: number) => void;
  readonly #folders = new Set<string>();
  /** what is there now */
  files = 0;
  bytes = 0;

  /** @param root made when it is not there */
  constructor(root: string, onBytes: (bytes: number) => void) {
    this.#root = root;
    this.#onBytes = onBytes;
  }

  folder(path: string): Promise<void> {
    return this.#make(path);
  }

  async file(path: string, { size, mtimeMs }: { size: number; mtimeMs: number }): Promise<FileSink> {
    const folder = dirname(path);
    await this.#make(folder === '.' ? '' : folder);
    const target = join(this.#root, path);
    const draft = join(dirname(target), `.${basename(path).slice(0, 50)}.${randomBytes(6).toString('hex')}.tmp`);
    const doing = `can not write ${target}`;
    const file = await open(draft, 'wx').catch((error: unknown) => {
      throw wrapSystemError(error, doing);
    });
    const writer = new FileWriter(file);
    return {
      write: async (piece) => {
        try {
          await writer.write(piece);
        } catch (error) {
          throw wrapSystemError(error, doing);
        }
        this.#onBytes(piece.length);
      },
      done: async () => {
        try {
          await writer.flush();
          await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
          await file.sync();
          await rename(draft, target);
        } catch (error) {
          throw wrapSystemError(error, doing);
        }
        await writer.release();
        await file.close();
        this.files += 1;
        this.bytes += size;
      },
      discard: async () => {
        await writer.release();
        await file.close().catch(() => undefined);
        await rm(draft, { force: true });
      },
    };
  }

  /** Makes the names durable. */
  async finish(): Promise<void> {
    for (const folder of this.#folders) await syncFolder(join(this.#root, folder));
  }

  async #make(path: string): Promise<void> {
    if (this.#folders.has(path)) return;
    const folder = join(this.#root, path);
    try {
      if (path === '') await makeFolders(this.#root);
      else {
        const above = dirname(path);
        await this.#make(above === '.' ? '' : above);
        if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) mkdirSync(folder);
        // whoever may write here could have laid a link to elsewhere
        if (!lstatSync(folder).isDirectory()) {
          throw new PacificaError('forbidden', `${folder} is there and is no folder`, {
            hint: 'extract into a folder of its own',
          });
        }
      }
    } catch (error) {
      throw wrapSystemError(error, `can not make the folder ${folder}`);
    }
    this.#folders.add(path);
  }
}

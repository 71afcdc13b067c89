import { statSync } from 'node:fs';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { FileReader } from '../lib/file-reader.js';
import type { RandomReader } from '../lib/random-reader.js';

/** How a file was found before its length was announced to anybody. */
export interface FileFacts {
  /** bytes */
  readonly size: number;
  /** ms since 1970, with fractions */
  readonly mtimeMs: number;
}

/**
 * A file on this machine that is sent somewhere under a length and time that were announced before. A file that changes
 * meanwhile would arrive as a mixture of old and new: reading its last byte fails then.
 */
export class SteadyFile implements RandomReader {
  readonly size: number;
  readonly #path: string;
  readonly #facts: FileFacts;
  readonly #reader: FileReader;

  private constructor(path: string, facts: FileFacts, reader: FileReader) {
    this.size = facts.size;
    this.#path = path;
    this.#facts = facts;
    this.#reader = reader;
  }

  /** @throws PacificaError `precondition` when the file is no longer as `facts` say */
  static open(path: string, facts: FileFacts): SteadyFile {
    checkUnchanged(path, facts);
    return new SteadyFile(path, facts, FileReader.open(path));
  }

  /** @throws PacificaError `precondition` when the file changed since it was found */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    let got: number;
    try {
      got = await this.#reader.read(buffer, position);
    } catch (error) {
      // it has become shorter
      checkUnchanged(this.#path, this.#facts);
      throw error;
    }
    if (position + got >= this.size) checkUnchanged(this.#path, this.#facts);
    return got;
  }

  close(): Promise<void> {
    return this.#reader.close();
  }
}

/**
 * Looks at a file that is to be sent.
 * @throws PacificaError `not-found`; `invalid` when it is no regular file
 */
export function factsOf(path: string): FileFacts {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new PacificaError('invalid', `${path} is not a file`);
    return { size: stat.size, mtimeMs: stat.mtimeMs };
  } catch (error) {
    throw localError(error, path);
  }
}

/** @throws PacificaError `precondition` when size or time of a file are not what they were, or it is gone */
export function checkUnchanged(path: string, facts: FileFacts): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.size === facts.size && stat.mtimeMs === facts.mtimeMs) return;
  throw new PacificaError('precondition', `${path} ${stat === undefined ? 'went away' : 'changed'} while it was sent`, {
    hint: 'nothing was stored; send it again when nobody writes to it',
  });
}

/** Names the file in the error of a file system call. */
export function localError(error: unknown, path: string): PacificaError {
  switch (systemCode(error) ?? '') {
    case 'ENOENT':
    case 'ENOTDIR':
      return new PacificaError('not-found', `there is no file ${path}`, { cause: error });
    case 'EACCES':
    case 'EPERM':
      return new PacificaError('forbidden', `no permission for ${path}`, { cause: error });
    case 'EISDIR':
      return new PacificaError('invalid', `${path} is a folder`, { cause: error });
    default:
      return wrapSystemError(error, path);
  }
}

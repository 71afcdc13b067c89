import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';

/** The folders of this machine that files may be taken in from. */
export class MoveRoots {
  readonly #roots: readonly string[];
  readonly #except: readonly string[];

  /**
   * @param roots folders that the site allows
   * @param except folders below them that it does not
   */
  constructor(roots: readonly string[], except: readonly string[]) {
    this.#roots = roots.map((root) => resolve(root));
    this.#except = except.map((folder) => resolve(folder));
  }

  /**
   * Checks a path that came from outside, as written and as it is once every symlink is followed.
   * @returns the real path
   * @throws PacificaError `invalid` (not absolute, a symlink itself), `forbidden` (outside), `not-found`
   */
  async check(path: string): Promise<string> {
    if (!isAbsolute(path) || path.includes('\0')) {
      throw new PacificaError('invalid', `path ${JSON.stringify(path.slice(0, 4096))} is not absolute`, {
        hint: 'give the whole path on the machine of the archive, like /srv/incoming/12345',
      });
    }
    // first by its letters: whether there is a file outside is nobody's business
    if (!this.#allows(resolve(path), this.#roots, this.#except)) throw outside(path);
    const real = await this.#real(path);
    const [roots, except] = await Promise.all([realFolders(this.#roots), realFolders(this.#except)]);
    if (!this.#allows(real, roots, except)) throw outside(path);
    if (real !== join(await realpath(dirname(path)), basename(path))) {
      throw new PacificaError('invalid', `${path} is not a regular file`);
    }
    return real;
  }

  #allows(path: string, roots: readonly string[], except: readonly string[]): boolean {
    return roots.some((root) => isBelow(path, root)) && !except.some((folder) => isBelow(path, folder));
  }

  async #real(path: string): Promise<string> {
    try {
      return await realpath(path);
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
        throw new PacificaError('not-found', `there is no file ${path}`, { cause: error });
      }
      if (code === 'EACCES' || code === 'ELOOP') throw new PacificaError('forbidden', `${path} can not be read`);
      throw wrapSystemError(error, `can not look at ${path}`);
    }
  }
}

function outside(path: string): PacificaError {
  return new PacificaError('forbidden', `files may not be taken in from ${path}`, {
    hint: 'the site allows the folders of [archiveinterface] move_roots',
  });
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** @returns the real paths of those that there are */
async function realFolders(folders: readonly string[]): Promise<string[]> {
  const paths = await Promise.all(
    folders.map(async (folder) => {
      try {
        return [await realpath(folder)];
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return [];
        throw wrapSystemError(error, `can not look at ${folder}`);
      }
    }),
  );
  return paths.flat();
}

import { isUtf8 } from 'node:buffer';
import { accessSync, constants, lstatSync, statSync, type Stats } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PacificaError } from '../lib/errors.js';
import { PathSet } from '../lib/path-set.js';
import { safePath } from '../lib/safe-path.js';
import { type FileFacts, localError } from './steady-file.js';

/** A file on this machine that goes into a bundle. */
export interface FoundFile extends FileFacts {
  /** where it lies */
  readonly path: string;
  /** its path in the bundle below `data/` */
  readonly member: string;
  /** last change of its record, ms since 1970 */
  readonly ctimeMs: number;
}

export interface WalkOptions {
  /** says of a path in the bundle whether it is left out; folders are asked about before what is in them */
  exclude?: (member: string) => boolean;
  /** go through symbolic links: what they name is taken under the link's own name */
  followLinks?: boolean;
  /** told about everything that is left out: links, sockets, devices */
  onSkipped: (path: string, what: string) => void;
  /** told about a file or folder that can not be read, which is left out then; it is thrown when absent */
  onProblem?: (error: unknown) => void;
  signal?: AbortSignal;
}

/**
 * Finds the files to send, before the first byte goes out: each is looked at, and that it may be read is checked.
 * Folders are walked in the order of their names' bytes. Symbolic links are followed when they are given themselves; in
 * folders when it is asked for.
 * @param paths files and folders as a person gives them
 * @throws PacificaError `not-found`, `forbidden`, `invalid` (two files of one path, names that are not UTF-8, nothing there)
 */
export async function walk(
  paths: readonly string[],
  { exclude = () => false, followLinks = false, onSkipped, onProblem, signal }: WalkOptions,
): Promise<FoundFile[]> {
  const found: FoundFile[] = [];
  // one tree has each name once; several may clash
  const taken = paths.length > 1 ? new PathSet() : undefined;

  const add = (path: string, member: string, stat: Stats): void => {
    safePath(member);
    taken?.add(member);
    access(path);
    found.push({ path, member, size: stat.size, mtimeMs: stat.mtimeMs, ctimeMs: stat.ctimeMs });
  };

  /** @param above the folders that this one is in, by device and inode: a link to one of them has no end */
  const folder = async (path: string, prefix: string, above: readonly string[]): Promise<void> => {
    signal?.throwIfAborted();
    for (const name of await namesOf(path)) {
      const child = join(path, name);
      const member = prefix === '' ? name : `${prefix}/${name}`;
      if (exclude(member)) continue;
      try {
        const link = lstat(child);
        const stat = followLinks && link.isSymbolicLink() ? statSync(child, { throwIfNoEntry: false }) : link;
        if (stat === undefined) onSkipped(child, 'a symbolic link to nothing');
        else if (stat.isFile()) add(child, member, stat);
        else if (!stat.isDirectory()) onSkipped(child, kindOf(stat));
        else if (above.includes(inodeOf(stat))) onSkipped(child, 'a symbolic link to a folder that it is in');
        else await folder(child, member, followLinks ? [...above, inodeOf(stat)] : above);
      } catch (error) {
        if (onProblem === undefined || signal?.aborted === true) throw error;
        onProblem(error);
      }
    }
  };

  for (const path of paths) {
    const member = tarName(path);
    const stat = follow(path);
    if (member !== '' && exclude(member)) continue;
    if (stat.isDirectory()) await folder(path, member, [inodeOf(stat)]);
    else if (stat.isFile()) add(path, member, stat);
    else throw new PacificaError('invalid', `${path} is ${kindOf(stat)}`, { hint: 'give files and folders' });
  }
  if (found.length === 0) throw new PacificaError('invalid', `there is no file in ${paths.join(', ')}`);
  return found;
}

/**
 * The name that tar gives a path: as it stands, without `./`, a leading `/`, and everything up to the last `..`.
 * `tree/sub/` -> `tree/sub`, `/srv/tree` -> `srv/tree`, `../tree` -> `tree`, `.` -> empty
 */
export function tarName(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.slice(parts.lastIndexOf('..') + 1).join('/');
}

async function namesOf(folder: string): Promise<string[]> {
  let names: Buffer[];
  try {
    names = await readdir(folder, { encoding: 'buffer' });
  } catch (error) {
    throw localError(error, folder);
  }
  return names
    .sort((a, b) => Buffer.compare(a, b))
    .map((name) => {
      if (!isUtf8(name)) {
        throw new PacificaError(
          'invalid',
          `the name ${JSON.stringify(name.toString('latin1'))} in ${folder} is not UTF-8`,
          {
            hint: 'rename it (convmv does it for whole trees)',
          },
        );
      }
      return name.toString();
    });
}

function lstat(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    throw localError(error, path);
  }
}

function follow(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw localError(error, path);
  }
}

function inodeOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

function access(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw localError(error, path);
  }
}

function kindOf(stat: Stats): string {
  if (stat.isSymbolicLink()) return 'a symbolic link';
  if (stat.isFIFO()) return 'a pipe';
  if (stat.isSocket()) return 'a socket';
  return 'a device';
}

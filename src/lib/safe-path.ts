import { PacificaError } from './errors.js';

/** PATH_MAX of Linux */
const MAX_PATH = 4096;
/** NAME_MAX of the usual file systems */
const MAX_COMPONENT = 255;

/**
 * Checks a relative path with `/` that came from outside and will name a file below a folder of ours or in a tar.
 * Leading slashes are dropped first (wire.md, cart part). Then no component may be empty, `.` or `..`, contain NUL, or be
 * longer than 255 bytes in UTF-8; the whole is at most 4096 bytes.
 * @returns the path without leading slashes
 * @throws PacificaError `invalid` naming the path
 */
export function safePath(text: string): string {
  const path = text.replace(/^\/+/, '');
  const fault = faultOf(path);
  if (fault === undefined) return path;
  throw new PacificaError('invalid', `path ${shown(text)} ${fault}`, {
    hint: 'a path is relative, like a/b/file.txt, without "..", "." or empty parts',
  });
}

/** an empty part, or one that is `.` */
const NOTHING = /(?:^|\/)\.?(?:\/|$)/;

/** @returns the path without parts that lead nowhere: empty ones and `.`, slashes at its ends with them */
export function tidyPath(path: string): string {
  if (!NOTHING.test(path)) return path;
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

function faultOf(path: string): string | undefined {
  if (path === '') return 'is empty';
  if (path.includes('\0')) return 'contains a NUL character';
  // half of a surrogate pair has no UTF-8: two such names could become one file
  if (!path.isWellFormed()) return 'is not valid Unicode';
  // a character is up to three bytes long: what is short enough in characters need not be counted
  if (path.length * 3 > MAX_PATH && Buffer.byteLength(path) > MAX_PATH) return `is longer than ${MAX_PATH} bytes`;
  for (const part of path.split('/')) {
    if (part === '') return 'has an empty part';
    if (part === '.' || part === '..') return `has a part "${part}"`;
    if (part.length * 3 > MAX_COMPONENT && Buffer.byteLength(part) > MAX_COMPONENT) {
      return `has a part longer than ${MAX_COMPONENT} bytes`;
    }
  }
  return undefined;
}

/** @param what `twice`, `folder` of another file, or the file that it is a folder `of` */
export function pathConflict(path: string, what: 'twice' | 'folder' | { of: string }): PacificaError {
  const fault =
    what === 'twice'
      ? 'is there twice'
      : `is a file and also a folder of ${what === 'folder' ? 'another file' : shown(what.of)}`;
  return new PacificaError('invalid', `path ${shown(path)} ${fault}`, { hint: 'give every file a path of its own' });
}

/** @returns the path quoted for a message, cut when long */
function shown(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}...` : path);
}

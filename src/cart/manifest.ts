import type { CartFile } from '../storage/database/carts.js';

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };

/**
 * A file's line as `sha1sum`, `md5sum` and their like write and check it: a name with a backslash or a line break is
 * escaped, and its line begins with a backslash (coreutils manual, "md5sum invocation").
 */
export function manifestLine({ hashsum, path }: Pick<CartFile, 'hashsum' | 'path'>): string {
  const name = path.replace(/[\\\n\r]/g, (character) => ESCAPES[character] ?? character);
  return `${name === path ? '' : '\\'}${hashsum}  ${name}\n`;
}

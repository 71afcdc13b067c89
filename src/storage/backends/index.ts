import { fileURLToPath } from 'node:url';
import { messageOf, PacificaError } from '../../lib/errors.js';
import type { StorageBackend } from './backend.js';
import { PosixBackend, type PosixOptions } from './posix/posix-backend.js';

/** Settings of all backends; each takes what is its own. */
export type BackendOptions = PosixOptions;

/** Every storage that there is, by the scheme of its URL. */
const BACKENDS: Readonly<Record<string, (url: URL, options: BackendOptions) => StorageBackend>> = {
  posix: (url, options) => new PosixBackend(folderOf(url), options),
};

/**
 * Opens the storage that a URL names: `posix:///srv/archive`. Nothing is made or changed by opening.
 * @throws PacificaError `invalid` for a URL that names none
 */
export function openBackend(url: string, options: BackendOptions): StorageBackend {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const make = parsed === undefined ? undefined : BACKENDS[parsed.protocol.slice(0, -1)];
  if (parsed === undefined || make === undefined) {
    throw new PacificaError('invalid', `storage "${url}" is not known`, {
      hint: `write a URL like posix:///srv/archive; there is ${Object.keys(BACKENDS)
        .map((scheme) => `${scheme}://`)
        .join(', ')}`,
    });
  }
  return make(parsed, options);
}

function folderOf(url: URL): string {
  if (url.host !== '') {
    throw new PacificaError('invalid', `storage "${url.href}" names a host`, {
      hint: 'a folder of this machine has three slashes: posix:///srv/archive',
    });
  }
  try {
    return fileURLToPath(`file://${url.pathname}`);
  } catch (error) {
    throw new PacificaError('invalid', `storage "${url.href}" names no folder: ${messageOf(error)}`, { cause: error });
  }
}

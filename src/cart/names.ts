import { PacificaError } from '../lib/errors.js';
import { safePath } from '../lib/safe-path.js';

/** wire.md, cart part */
const UID = /^[A-Za-z0-9._~-]{1,128}$/;

/** @throws PacificaError `invalid` when the text is no cart's uid */
export function parseCartUid(text: string): string {
  if (UID.test(text) && text !== '.' && text !== '..') return text;
  throw new PacificaError('invalid', `cart uid ${JSON.stringify(text.slice(0, 150))} is not valid`, {
    hint: 'a uid is 1 to 128 letters, digits, ".", "_", "~" and "-", and not "." or ".."',
  });
}

export interface DownloadName {
  /** name of the tar */
  readonly file: string;
  /** the folder that everything in the tar lies in */
  readonly top: string;
}

/**
 * The name of a download, and from it the tar's top folder: the name without a trailing `.tar`.
 * @param asked the client's `?filename=`; when absent or empty it is `data_YYYY_MM_DD_HH_MM_SS.tar`, in UTC
 * @param ready when the cart became ready, ms since 1970: so that the name stays the same for a resumed download
 * @throws PacificaError `invalid` for what is no plain file name
 */
export function downloadName(asked: string | undefined, ready: number): DownloadName {
  const file = asked === undefined || asked === '' ? defaultName(ready) : asked;
  const top = file.replace(/\.tar$/, '');
  if (file.includes('/') || file.includes('\\')) throw invalidName(file, 'contains a slash');
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(file)) throw invalidName(file, 'contains a control character');
  try {
    safePath(file);
    safePath(top);
  } catch (error) {
    throw invalidName(file, 'is no name of a file', error);
  }
  return { file, top };
}

function invalidName(name: string, what: string, cause?: unknown): PacificaError {
  return new PacificaError('invalid', `filename ${JSON.stringify(name.slice(0, 150))} ${what}`, {
    hint: 'give a plain name like my_cart.tar',
    cause,
  });
}

function defaultName(ready: number): string {
  const stamp = new Date(ready).toISOString().slice(0, 19);
  return `data_${stamp.replace(/[-T:]/g, '_')}.tar`;
}

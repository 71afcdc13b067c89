import { PacificaError } from '../lib/errors.js';

/**
 * Puts a name from a person into a URL's path, as one segment: `/` and the like escaped. `.` and `..` can not be
 * escaped, URLs resolve them away.
 * @param what for the message: `cart uid`
 * @throws PacificaError `invalid` for a name that can be no segment
 */
export function pathSegment(what: string, name: string): string {
  if (name === '' || name === '.' || name === '..') {
    throw new PacificaError('invalid', `${what} ${JSON.stringify(name)} is not valid`);
  }
  return encodeURIComponent(name);
}

import { PacificaError } from './errors.js';

/**
 * Name of a file in the archive: a non-negative integer of any size in decimal without leading zeros
 * (kept as text: it may be larger than 2^53), or a plain file name. Made only by {@link parseArchiveId}.
 */
export type ArchiveId = string & { readonly __archiveId: true };

const INTEGER = /^(?:0|[1-9][0-9]*)$/;
/** wire.md, archive part: letters, digits, `.`, `_`, `-`, at most 200, no leading dot */
const PLAIN_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const MAX_LENGTH = 200;

/** @returns whether the id is a number (and not a plain name) */
export function isNumericId(id: ArchiveId): boolean {
  return INTEGER.test(id);
}

/**
 * Checks an id that came from outside (already percent-decoded once).
 * @throws PacificaError `invalid`
 */
export function parseArchiveId(text: string | number | bigint): ArchiveId {
  if (typeof text === 'number' && !Number.isSafeInteger(text)) {
    throw new PacificaError('invalid', `archive id ${String(text)} is not an integer, or too large for a JSON number`, {
      hint: 'send ids above 2^53 as strings',
    });
  }
  const id = String(text);
  const fits = id.length <= MAX_LENGTH && (INTEGER.test(id) || (PLAIN_NAME.test(id) && !/^[0-9]+$/.test(id)));
  if (!fits) {
    throw new PacificaError('invalid', `archive id ${JSON.stringify(id.slice(0, 250))} is not valid`, {
      hint: 'an id is a non-negative integer without leading zeros, or a name of letters, digits, ".", "_" and "-" (at most 200, no leading dot)',
    });
  }
  return id as ArchiveId;
}

/**
 * The originals' bijective map from id to path below the archive's root (`id2filename`; examples in docs/architecture.md):
 * lower-case hex; while more than two digits are left the last two become a directory; the file is named by the whole
 * hex id; an id of one or two digits is `file.<hex>`. 12345 -> `39/3039`, 255 -> `file.ff`.
 * @returns a relative path with `/`
 */
export function id2filename(id: bigint): string {
  const hex = id.toString(16);
  const folders: string[] = [];
  let rest = hex;
  while (rest.length > 2) {
    folders.push(rest.slice(-2));
    rest = rest.slice(0, -2);
  }
  return folders.length === 0 ? `file.${hex}` : `${folders.join('/')}/${hex}`;
}

import { Args, Flags } from './oclif.js';
import { type ArchiveId, parseArchiveId } from '../lib/archive-id.js';
import { messageOf, PacificaError } from '../lib/errors.js';
import { readInput } from './read-input.js';

// How commands on many files of the archive are told which: ids as arguments, ids in a file, or both.

export const idArgs = {
  id: Args.string({ description: 'Id of a file', multiple: true, ignoreStdin: true }),
};

export const idFlags = {
  'from-file': Flags.string({
    char: 'f',
    summary: 'Read ids from a file, one a line; - reads standard input',
    helpValue: 'FILE',
  }),
};

/**
 * @returns the ids that a person gave, in their order; those of the file come last
 * @throws PacificaError `invalid` for what is no id, naming its line
 */
export async function givenIds(
  { id = [] }: { readonly id?: string[] | undefined },
  { 'from-file': file }: { readonly 'from-file'?: string | undefined },
  signal: AbortSignal,
): Promise<ArchiveId[]> {
  const ids = id.map(parseArchiveId);
  return file === undefined ? ids : [...ids, ...(await readIds(file, signal))];
}

/**
 * As {@link givenIds}, for commands that need one.
 * @throws PacificaError `invalid` when there is none
 */
export async function requireIds(...given: Parameters<typeof givenIds>): Promise<ArchiveId[]> {
  const ids = await givenIds(...given);
  if (ids.length > 0) return ids;
  const empty = given[1]['from-file'] !== undefined;
  throw new PacificaError('invalid', empty ? 'the file names no id' : 'missing argument ID', {
    hint: empty ? undefined : 'give ids, or --from-file FILE with one a line',
  });
}

/**
 * Reads a list of ids, one a line. What follows a tab is passed over, so that what `archive put` prints can be used as
 * it is.
 * @param file a path, or `-` for standard input
 * @throws PacificaError `not-found`, `invalid` for what is no id, naming its line
 */
export async function readIds(file: string, signal: AbortSignal): Promise<ArchiveId[]> {
  const { name, content } = await readInput(file, signal);
  return content.split('\n').flatMap((line, index) => {
    const text = (line.split('\t')[0] ?? '').trim();
    if (text === '') return [];
    try {
      return [parseArchiveId(text)];
    } catch (error) {
      throw new PacificaError('invalid', `${name}, line ${index + 1}: ${messageOf(error)}`, { cause: error });
    }
  });
}

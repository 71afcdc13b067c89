import { basename, join } from 'node:path';
import { type ArchiveId, id2filename, isNumericId, parseArchiveId } from '../../../lib/archive-id.js';
import { PacificaError } from '../../../lib/errors.js';

/** Our own folder below the root. No id begins with a dot, so no file of the archive can be in its way. */
export const OWN_FOLDER = '.pacifica';

/** Where the file of an id lies below the root. */
export class Layout {
  readonly root: string;
  /** whether files are spread over folders by their ids */
  readonly isSpread: boolean;

  /** @param root absolute path */
  constructor(root: string, useId2filename: boolean) {
    this.root = root;
    this.isSpread = useId2filename;
  }

  /**
   * @returns absolute path
   * @throws PacificaError `invalid` for a plain name where ids must be numbers
   */
  path(id: ArchiveId): string {
    if (!this.isSpread) return join(this.root, id);
    if (!isNumericId(id)) {
      throw new PacificaError('invalid', `archive id "${id}" is not a number`, {
        hint: 'this archive spreads files by number (use_id2filename): ids are integers here',
      });
    }
    return join(this.root, id2filename(BigInt(id)));
  }

  /** @returns the id whose path this is; undefined when it is none's */
  idAt(path: string): ArchiveId | undefined {
    const name = basename(path);
    try {
      const id = parseArchiveId(this.isSpread ? BigInt(`0x${name.replace(/^file\./, '')}`) : name);
      return this.path(id) === path ? id : undefined;
    } catch {
      // no id makes such a name
      return undefined;
    }
  }
}

import { readFile, stat } from 'node:fs/promises';
import { messageOf, PacificaError } from '../lib/errors.js';
import { Rules } from './rules.js';

/** The rules file of a site (`[policy] rules`). A changed file counts from the next question on. */
export class SiteRules {
  readonly #path: string;
  readonly #onProblem: (error: PacificaError) => void;
  #rules: Rules;
  /** version of the file that was looked at last */
  #seen: string;

  private constructor(path: string, onProblem: (error: PacificaError) => void, rules: Rules, seen: string) {
    this.#path = path;
    this.#onProblem = onProblem;
    this.#rules = rules;
    this.#seen = seen;
  }

  /**
   * Reads the file.
   * @param onProblem told once of each later version that can not be used; the rules before it hold on
   * @throws PacificaError `invalid` naming the file and the entry, `not-found`
   */
  static async open(path: string, onProblem: (error: PacificaError) => void): Promise<SiteRules> {
    const seen = await version(path);
    return new SiteRules(path, onProblem, await read(path), seen);
  }

  /** @returns the rules as they are now */
  async current(): Promise<Rules> {
    const now = await version(this.#path);
    if (now === this.#seen) return this.#rules;
    this.#seen = now;
    try {
      this.#rules = await read(this.#path);
    } catch (error) {
      this.#onProblem(error instanceof PacificaError ? error : unreadable(this.#path, error));
    }
    return this.#rules;
  }
}

/** @returns what differs when the file is another one; the error's text when it can not be looked at */
async function version(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return messageOf(error);
  }
}

async function read(path: string): Promise<Rules> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    return new Rules(JSON.parse(text.replace(/^\uFEFF/, '')));
  } catch (error) {
    const hint = error instanceof PacificaError ? error.hint : undefined;
    throw new PacificaError('invalid', `${path}: ${messageOf(error)}`, { hint, cause: error });
  }
}

function unreadable(path: string, cause: unknown): PacificaError {
  return new PacificaError('not-found', `can not read the rules file ${path}: ${messageOf(cause)}`, {
    hint: 'check [policy] rules in the configuration',
    cause,
  });
}

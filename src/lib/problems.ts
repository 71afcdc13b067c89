import { messageOf, PacificaError } from './errors.js';

/** how many are told */
export const MOST_PROBLEMS = 100;

/** Collects what is wrong with a bundle, so that its sender learns all of it at once and not one thing a try. */
export class Problems {
  readonly #texts: string[] = [];
  #count = 0;

  add(text: string): void {
    this.#count += 1;
    if (this.#texts.length < MOST_PROBLEMS) this.#texts.push(text);
  }

  /** Counts problems that are not told one by one. */
  more(count: number): void {
    this.#count += count;
  }

  /**
   * Runs a check that throws PacificaErrors of code `invalid`, and remembers what it throws.
   * @param what is checked, for people; absent where the errors say it, and what can be done about it, themselves
   */
  try<T>(what: (() => string) | undefined, check: () => T): T | undefined {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof PacificaError) || error.code !== 'invalid') throw error;
      if (what !== undefined) this.add(`${what()}: ${messageOf(error)}`);
      else this.add(error.hint === undefined ? error.message : `${error.message} (${error.hint})`);
      return undefined;
    }
  }

  /** @throws PacificaError `invalid` with all of them, a line each */
  throwIfAny(): void {
    if (this.#count === 0) return;
    const more = this.#count - this.#texts.length;
    throw new PacificaError('invalid', [...this.#texts, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'));
  }
}

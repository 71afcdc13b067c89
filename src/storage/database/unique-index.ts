import { QueryTypes } from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';

interface Request {
  readonly count: number;
  readonly resolve: (start: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The counters of the unique ids: table `pacifica_unique_index`, for each mode the number that is handed out next.
 * Requests that come while a statement is under way share the next one: the disk is waited for once, not once each.
 */
export class UniqueIndex {
  readonly #database: Database;
  /** requests by mode */
  readonly #waiting = new Map<string, Request[]>();
  #working = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Takes `count` consecutive numbers, atomically across processes. They are taken for good before this resolves.
   * @returns the first of them; 1 is the first of a mode
   */
  async take(mode: string, count: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const requests = this.#waiting.get(mode);
      if (requests === undefined) this.#waiting.set(mode, [{ count, resolve, reject }]);
      else requests.push({ count, resolve, reject });
      void this.#work();
    });
  }

  /** @returns the number that is handed out next; undefined for a mode that was never asked for */
  async next(mode: string): Promise<number | undefined> {
    const rows = await this.#database.sequelize.query<{ next: number | string }>(
      'SELECT next FROM pacifica_unique_index WHERE mode = :mode',
      { type: QueryTypes.SELECT, replacements: { mode } },
    );
    return rows[0] === undefined ? undefined : Number(rows[0].next);
  }

  /** Lets a mode go on with `next`, unless it is there already: never back. */
  async raise(mode: string, next: number): Promise<void> {
    await this.#database.writeStatement(
      `INSERT INTO pacifica_unique_index (mode, next) VALUES ($mode, CAST($next AS BIGINT))
       ON CONFLICT (mode) DO UPDATE SET next = excluded.next WHERE excluded.next > pacifica_unique_index.next
       RETURNING next`,
      { mode, next },
    );
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    for (const [mode, requests] of this.#waiting) {
      this.#waiting.delete(mode);
      try {
        let start = await this.#advance(
          mode,
          requests.reduce((sum, { count }) => sum + count, 0),
        );
        for (const { count, resolve } of requests) {
          resolve(start);
          start += count;
        }
      } catch (error) {
        for (const { reject } of requests) reject(error);
      }
    }
    this.#working = false;
  }

  /** @returns the first of the numbers that were taken */
  async #advance(mode: string, count: number): Promise<number> {
    const [row] = await this.#database.writeStatement<{ next: number | string }>(
      `INSERT INTO pacifica_unique_index (mode, next) VALUES ($mode, 1 + CAST($count AS BIGINT))
       ON CONFLICT (mode) DO UPDATE SET next = pacifica_unique_index.next + CAST($count AS BIGINT)
       WHERE pacifica_unique_index.next + CAST($count AS BIGINT) <= ${Number.MAX_SAFE_INTEGER}
       RETURNING next`,
      { mode, count },
    );
    if (row === undefined) {
      throw new PacificaError('forbidden', `the numbers of mode ${JSON.stringify(mode)} are used up`);
    }
    return Number(row.next) - count;
  }
}

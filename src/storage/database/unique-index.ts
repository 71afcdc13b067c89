import { QueryTypes, type Transaction } from 'sequelize';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';

interface Request {
  readonly mode: string;
  readonly count: number;
  readonly resolve: (start: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The counters of the unique ids: table `pacifica_unique_index`, for each mode the number that is handed out next.
 * Requests that come while a transaction is under way share the next one: the disk is waited for once, not once each.
 */
export class UniqueIndex {
  readonly #database: Database;
  #waiting: Request[] = [];
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
      this.#waiting.push({ mode, count, resolve, reject });
      void this.#work();
    });
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    while (this.#waiting.length > 0) {
      const requests = this.#waiting;
      this.#waiting = [];
      try {
        const next = await this.#advance(totals(requests));
        for (const { mode, count, resolve } of requests) {
          const start = next.get(mode) ?? 0;
          next.set(mode, start + count);
          resolve(start);
        }
      } catch (error) {
        for (const { reject } of requests) reject(error);
      }
    }
    this.#working = false;
  }

  /** @returns for each mode the first of the numbers that were taken */
  async #advance(counts: ReadonlyMap<string, number>): Promise<Map<string, number>> {
    return this.#database.write(async (transaction) => {
      const starts = new Map<string, number>();
      // in one order everywhere, so that two processes never wait for each other's rows
      for (const mode of [...counts.keys()].sort()) {
        const count = counts.get(mode) ?? 0;
        const next = await this.#add(mode, count, transaction);
        if (next > Number.MAX_SAFE_INTEGER) {
          throw new PacificaError('forbidden', `the numbers of mode ${JSON.stringify(mode)} are used up`);
        }
        starts.set(mode, next - count);
      }
      return starts;
    });
  }

  /** The upsert locks the row until the transaction ends, so what is read after it is ours. @returns the new `next` */
  async #add(mode: string, count: number, transaction: Transaction): Promise<number> {
    const { sequelize } = this.#database;
    await sequelize.query(
      `INSERT INTO pacifica_unique_index (mode, next) VALUES (:mode, 1 + :count)
       ON CONFLICT (mode) DO UPDATE SET next = pacifica_unique_index.next + :count`,
      { replacements: { mode, count }, transaction },
    );
    const [row] = await sequelize.query<{ next: number | string }>(
      'SELECT next FROM pacifica_unique_index WHERE mode = :mode',
      { type: QueryTypes.SELECT, replacements: { mode }, transaction },
    );
    if (row === undefined) throw new PacificaError('internal', `the counter of mode ${JSON.stringify(mode)} is gone`);
    return Number(row.next);
  }
}

function totals(requests: readonly Request[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { mode, count } of requests) counts.set(mode, (counts.get(mode) ?? 0) + count);
  return counts;
}

import type { QueryInterface, Transaction } from 'sequelize';

/** One step of the schema. It runs once, inside a transaction that it must pass to every call. */
export interface Migration {
  /** sorts in the order of running; never changed once released */
  readonly name: string;
  up(context: { query: QueryInterface; transaction: Transaction }): Promise<void>;
}

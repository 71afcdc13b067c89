import type { Config } from '../config/load.js';
import { Database } from '../storage/database/database.js';

/**
 * Opens the configured database for one piece of work, as admin commands do.
 * @param options.create make the SQLite file when there is none (default)
 */
export async function withDatabase<T>(
  config: Config,
  work: (database: Database) => Promise<T>,
  options: { create?: boolean } = {},
): Promise<T> {
  const database = await Database.open(config.database.url, options);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

import type { Config } from '../config/load.js';
import { Database, type DatabaseOptions } from '../storage/database/database.js';

/** Opens the configured database for one piece of work, as admin commands do. */
export async function withDatabase<T>(
  config: Config,
  work: (database: Database) => Promise<T>,
  options: DatabaseOptions,
): Promise<T> {
  const database = await Database.open(config.database.url, options);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

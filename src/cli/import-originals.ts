import { importCarts } from '../cart/import.js';
import { importUniqueIds } from '../catalog/import.js';
import type { Config } from '../config/load.js';
import { fromPeewee } from '../config/originals.js';
import { databaseUrl } from '../config/setting.js';
import { importJobs } from '../ingest/import.js';
import { PacificaError } from '../lib/errors.js';
import type { Patience } from '../lib/persist.js';
import { CartTables } from '../storage/database/carts.js';
import { Database } from '../storage/database/database.js';
import { IngestJobs } from '../storage/database/ingest-jobs.js';
import { type Import, type ImportOptions, OriginalTables } from '../storage/database/originals.js';
import { requireSchema, schemaState } from '../storage/database/schema.js';
import { UniqueIndex } from '../storage/database/unique-index.js';
import { withDatabase } from './with-database.js';

/**
 * Takes over what an original service has.
 * @param from its peewee_url
 * @throws PacificaError `not-found` or `unavailable` when a database can not be opened, `invalid` when it is another one's
 */
export async function importFrom(
  config: Config,
  service: 'cartd' | 'ingest' | 'uniqueid',
  from: string,
  options: ImportOptions,
  patience: Patience,
): Promise<Import> {
  const source = await Database.open(databaseUrl().parse(fromPeewee(from)), { create: false, patience });
  try {
    const original = new OriginalTables(source);
    // a dry run makes nothing, so it needs a database that is there
    return await withDatabase(config, (database) => importTo(database, original, config, service, options), {
      create: !options.dryRun,
      patience,
    });
  } finally {
    await source.close();
  }
}

async function importTo(
  database: Database,
  original: OriginalTables,
  config: Config,
  service: 'cartd' | 'ingest' | 'uniqueid',
  options: ImportOptions,
): Promise<Import> {
  if (options.dryRun && (await schemaState(database)).state === 'empty') {
    throw new PacificaError('not-found', 'the database is empty, and a dry run makes no tables', {
      hint: 'run "pacifica db sync" first',
    });
  }
  await requireSchema(database);
  const numbers = new UniqueIndex(database);
  switch (service) {
    case 'cartd':
      return importCarts(original, { tables: new CartTables(database), volume: config.cartd.volume_path }, options);
    case 'ingest':
      return importJobs(original, { jobs: new IngestJobs(database), numbers }, options);
    case 'uniqueid':
      return importUniqueIds(original, numbers, options);
  }
}

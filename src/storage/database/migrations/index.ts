import { catalogTables } from './0001-catalog.js';
import { ingestTables } from './0002-ingest.js';
import { cartTables } from './0003-cart.js';
import { jobTables } from './0004-jobs.js';
import { archiveTables } from './0005-archive.js';
import { verifyTables } from './0006-archive-verify.js';
import { ingestKeys } from './0007-ingest-keys.js';
import { cartFolders } from './0008-cart-folders.js';
import type { Migration } from './migration.js';

/** Every migration, in order. */
export const migrations: readonly Migration[] = [
  catalogTables,
  ingestTables,
  cartTables,
  jobTables,
  archiveTables,
  verifyTables,
  ingestKeys,
  cartFolders,
];

/** A process that brings a database up, as a daemon does at its start: `sync-schema.ts DATABASE_URL`. */
import { Database } from '../../../src/storage/database/database.js';
import { requireSchema } from '../../../src/storage/database/schema.js';

const database = await Database.open(process.argv[2] ?? '');
await requireSchema(database);
await database.close();

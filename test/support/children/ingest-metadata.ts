/** A process that records a transaction: `ingest-metadata.ts DATABASE_URL TRANSACTION FIRST_FILE COUNT`. */
import { EmbeddedMetadata } from '../../../src/catalog/metadata.js';
import { Database } from '../../../src/storage/database/database.js';
import { TransactionTables } from '../../../src/storage/database/transactions.js';
import { manyFiles } from '../many-files.js';

const [url = '', transaction, first, count] = process.argv.slice(2);
const database = await Database.open(url);
await new EmbeddedMetadata(new TransactionTables(database)).ingest(
  manyFiles(Number(transaction), Number(first), Number(count)),
  'root',
);
await database.close();

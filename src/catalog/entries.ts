import { PacificaError } from '../lib/errors.js';
import type { MetadataDocument, MetadataEntry } from './catalog.js';

/** What a bundle must say of itself: tables `Transactions.submitter` and so on (wire.md, ingest part). */
export const REQUIRED = ['submitter', 'project', 'instrument'] as const;

const TRANSACTION = 'Transactions.';

/**
 * Checks that a JSON value is a metadata document: an array of objects that each name their table.
 * @throws PacificaError `invalid` naming the entry
 */
export function parseEntries(document: unknown): MetadataEntry[] {
  if (!Array.isArray(document)) {
    throw new PacificaError('invalid', 'the metadata is not a JSON array', {
      hint: 'send a list like [{"destinationTable": "Transactions.submitter", "value": 10}, ...]',
    });
  }
  return document.map((entry: unknown, index) => {
    if (isEntry(entry)) return entry;
    throw new PacificaError('invalid', `metadata entry ${index + 1} is not an object with a "destinationTable"`);
  });
}

function isEntry(entry: unknown): entry is MetadataEntry {
  return (
    typeof entry === 'object' &&
    entry !== null &&
    'destinationTable' in entry &&
    typeof entry.destinationTable === 'string'
  );
}

/**
 * What a metadata document says of its transaction: the value of each table `Transactions.<attribute>`.
 * @returns values by attribute; left out are those that are null or empty, and those with two values: which of them counts
 * would be anybody's guess, and policy is not to guess otherwise than metadata
 */
export async function transactionValues(metadata: MetadataDocument): Promise<ReadonlyMap<string, unknown>> {
  const values = new Map<string, unknown>();
  for await (const entry of metadata) noteTransactionValue(values, entry);
  for (const [attribute, value] of values) if (value === undefined) values.delete(attribute);
  return values;
}

/** Notes an entry that is of a table `Transactions.<attribute>`: undefined where it is null or empty, or has another value too. */
export function noteTransactionValue(values: Map<string, unknown>, { destinationTable, value }: MetadataEntry): void {
  if (!destinationTable.startsWith(TRANSACTION)) return;
  const attribute = destinationTable.slice(TRANSACTION.length);
  if (!values.has(attribute)) values.set(attribute, value === null || value === '' ? undefined : value);
  else if (String(values.get(attribute)) !== String(value)) values.set(attribute, undefined);
}

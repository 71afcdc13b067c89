import { PacificaError } from '../lib/errors.js';
import type { MetadataEntry } from './catalog.js';

/** What a bundle must say of itself: tables `Transactions.submitter` and so on (wire.md, ingest part). */
export const REQUIRED = ['submitter', 'project', 'instrument'] as const;

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
    throw new PacificaError('invalid', `metadata entry ${index} is not an object with a "destinationTable"`);
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

/** @returns the value of `Transactions.<attribute>`; undefined when there is none, or it is null or empty */
export function transactionValue(metadata: readonly MetadataEntry[], attribute: string): unknown {
  const entry = metadata.find(({ destinationTable }) => destinationTable === `Transactions.${attribute}`);
  const value = entry?.value;
  return value === null || value === '' ? undefined : value;
}

import { PacificaError } from '../lib/errors.js';
import type { MetadataEntry, Policy } from './catalog.js';
import { REQUIRED, transactionValue } from './entries.js';

/** Our own policy: who, for what and with which instrument must be said; anybody may. */
export class EmbeddedPolicy implements Policy {
  async check(metadata: readonly MetadataEntry[]): Promise<void> {
    const missing = REQUIRED.filter((attribute) => transactionValue(metadata, attribute) === undefined);
    if (missing.length > 0) {
      throw new PacificaError('forbidden', `Invalid values for ${missing.join(', ')}`, {
        hint: `the metadata needs a value for ${missing.map((name) => `Transactions.${name}`).join(', ')}`,
      });
    }
  }
}

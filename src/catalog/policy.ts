import { PacificaError } from '../lib/errors.js';
import type { MetadataDocument, Policy } from './catalog.js';
import { REQUIRED, transactionValues } from './entries.js';

/** Our own policy: who, for what and with which instrument must be said; anybody may. */
export class EmbeddedPolicy implements Policy {
  async check(metadata: MetadataDocument): Promise<void> {
    const values = await transactionValues(metadata);
    const missing = REQUIRED.filter((attribute) => !values.has(attribute));
    if (missing.length > 0) {
      throw new PacificaError('forbidden', `Invalid values for ${missing.join(', ')}`, {
        hint: `the metadata needs a value for ${missing.map((name) => `Transactions.${name}`).join(', ')}`,
      });
    }
  }
}

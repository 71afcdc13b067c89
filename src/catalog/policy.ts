import type { PolicyClient } from '../client/policy-client.js';
import { PacificaError } from '../lib/errors.js';
import type { MetadataDocument, Policy, PolicyQueries } from './catalog.js';
import { REQUIRED, transactionValues } from './entries.js';
import type { RuleQuery } from './rules.js';
import type { SiteRules } from './site-rules.js';

/** Our own policy: who, for what and with which instrument must be said; anybody may, unless the site has rules. */
export class EmbeddedPolicy implements Policy, PolicyQueries {
  readonly #rules: SiteRules | undefined;

  constructor(rules?: SiteRules) {
    this.#rules = rules;
  }

  async check(metadata: MetadataDocument, user: string): Promise<void> {
    const values = await statedValues(metadata);
    const [submitter, project, instrument] = REQUIRED.map((attribute) => values.get(attribute));
    (await this.#rules?.current())?.check({ submitter, project, instrument }, user);
  }

  async query(query: RuleQuery): Promise<Record<string, unknown>[]> {
    if (this.#rules === undefined) {
      throw new PacificaError('not-found', 'this site has no rules that could be asked', {
        hint: 'name a rules file with [policy] rules',
      });
    }
    return (await this.#rules.current()).query(query);
  }
}

/**
 * A policy service over HTTP. What must be said is looked at before it is asked: a site's service may be one that allows
 * everything, and no file is to be archived of which nobody will know whose it is.
 */
export class RemotePolicy implements Policy {
  readonly #client: PolicyClient;

  constructor(client: PolicyClient) {
    this.#client = client;
  }

  async check(metadata: MetadataDocument, user: string): Promise<void> {
    await statedValues(metadata);
    await this.#client.check(metadata, user);
  }
}

/** @throws PacificaError `forbidden` naming what the metadata does not say, in the words of the original policy service */
async function statedValues(metadata: MetadataDocument): Promise<ReadonlyMap<string, unknown>> {
  const values = await transactionValues(metadata);
  const missing = REQUIRED.filter((attribute) => !values.has(attribute));
  if (missing.length === 0) return values;
  throw new PacificaError('forbidden', `Invalid values for ${missing.join(', ')}`, {
    hint: `the metadata needs one value for ${missing.map((name) => `Transactions.${name}`).join(', ')}`,
  });
}

import { MetadataClient } from '../client/metadata-client.js';
import { PolicyClient } from '../client/policy-client.js';
import { UniqueIdClient } from '../client/unique-id-client.js';
import type { Database } from '../storage/database/database.js';
import { TransactionTables } from '../storage/database/transactions.js';
import { UniqueIndex } from '../storage/database/unique-index.js';
import type { Catalog } from './catalog.js';
import { EmbeddedMetadata } from './metadata.js';
import { EmbeddedPolicy, RemotePolicy } from './policy.js';
import { RemoteMetadata } from './remote-metadata.js';
import type { SiteRules } from './site-rules.js';
import { EmbeddedUniqueIds } from './unique-ids.js';

export interface CatalogOptions {
  database: Database;
  /** base URL of the unique id service; ours when empty or absent */
  uniqueIdUrl?: string;
  /** URL of the policy service's check (`[policy] ingest_url`); ours when empty or absent */
  policyUrl?: string;
  /** who may ingest what, for our own policy; anybody everything when absent */
  rules?: SiteRules;
  /** URL that takes metadata (`[metadata] ingest_url`); `<metadataUrl>/ingest` when empty or absent */
  metadataIngestUrl?: string;
  /** base URL of the metadata service; the ingest URL without its last part when empty or absent, ours when both are */
  metadataUrl?: string;
  /** name of the header that carries the user to policy and metadata */
  authHeader: string;
  /** ms that ids and policy are asked for again before the asker is told; 30 s when absent */
  retryBudgetMs?: number;
}

/** A catalog with connections of its own. */
export interface OpenCatalog extends Catalog {
  /** Cuts the connections to remote services; the database stays open. */
  close(): Promise<void>;
}

/** Makes each of the three: ours, or the service whose URL is set. */
export function createCatalog(options: CatalogOptions): OpenCatalog {
  const { database, uniqueIdUrl = '', policyUrl = '', rules } = options;
  const { metadataIngestUrl = '', metadataUrl = '', authHeader } = options;
  const retry = { budgetMs: options.retryBudgetMs };
  const remote: { close(): Promise<void> }[] = [];
  const opened = <Client extends { close(): Promise<void> }>(client: Client): Client => {
    remote.push(client);
    return client;
  };
  return {
    ids:
      uniqueIdUrl === ''
        ? new EmbeddedUniqueIds(new UniqueIndex(database))
        : opened(new UniqueIdClient(uniqueIdUrl, retry)),
    policy:
      policyUrl === ''
        ? new EmbeddedPolicy(rules)
        : new RemotePolicy(opened(new PolicyClient(policyUrl, authHeader, retry))),
    metadata:
      metadataUrl === '' && metadataIngestUrl === ''
        ? new EmbeddedMetadata(new TransactionTables(database))
        : new RemoteMetadata(
            opened(new MetadataClient(metadataClientOptions(metadataUrl, metadataIngestUrl, authHeader))),
          ),
    async close() {
      await Promise.all(remote.map((client) => client.close()));
    },
  };
}

function metadataClientOptions(url: string, ingestUrl: string, userHeader: string) {
  return {
    url: url === '' ? ingestUrl.replace(/\/ingest\/?$/, '') : url,
    ingestUrl: ingestUrl === '' ? undefined : ingestUrl,
    userHeader,
  };
}

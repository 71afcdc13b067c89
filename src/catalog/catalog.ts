import type { RuleQuery } from './rules.js';

/** One entry of a bundle's metadata document. Extra keys travel unchanged. */
export interface MetadataEntry {
  readonly destinationTable: string;
  readonly [key: string]: unknown;
}

/**
 * A bundle's metadata document. It can be gone through again and again and says the same each time; one of a large bundle
 * is read from disk each time, and never is in memory as a whole.
 */
export type MetadataDocument = Iterable<MetadataEntry> | AsyncIterable<MetadataEntry>;

/** A file as the metadata service knows it (wire.md, proxy part). Times are ISO 8601 without zone, UTC. */
export interface CatalogFile {
  /** id of the file in the archive */
  readonly _id: number;
  readonly name: string;
  /** folder without `data/`, no leading or trailing slash */
  readonly subdir: string;
  /** bytes */
  readonly size: number;
  readonly hashtype: string;
  /** lower-case hex */
  readonly hashsum: string;
  readonly mimetype: string;
  readonly mtime: string;
  readonly ctime: string;
  /** job id of the ingest that brought it */
  readonly transaction: number;
  /** when it was taken out of the catalog; absent or null while it is in */
  readonly deleted?: string | null;
  /** `created`, `updated`, `encoding`, `suspense_date`, and what else the uploader said of it */
  readonly [extra: string]: unknown;
}

/** Query of `files`: all given fields must match. */
export interface FileQuery {
  _id?: number;
  name?: string;
  subdir?: string;
  transaction?: number;
  hashtype?: string;
  /** any case of letters */
  hashsum?: string;
  mimetype?: string;
  /** pattern of the name: `*` is any text, `?` one character; case matters */
  name_glob?: string;
  /** with {@link value}: a key/value of the file itself or of its transaction */
  key?: string;
  value?: string;
  /** only ids less than this: reads a long list piece by piece, whatever is added meanwhile */
  below?: number;
  /** at most that many, 1-based page `page`; both optional */
  limit?: number;
  page?: number;
}

/** Numbers that are never handed out twice, per mode. The first of a mode is 1. */
export interface UniqueIds {
  /**
   * Takes `count` consecutive numbers. Atomic across processes; a crash may leave a gap, never an overlap.
   * @param mode `file`, `upload_job`, or any other name
   * @throws PacificaError `invalid` (count below 1), `unavailable`
   */
  take(mode: string, count: number): Promise<{ start: number; end: number }>;
}

export interface Policy {
  /**
   * Asks whether `user` may ingest this.
   * @throws PacificaError `forbidden` with the reason, or what may pass
   */
  check(metadata: MetadataDocument, user: string): Promise<void>;
}

/** Optional: the site's users, projects and instruments. Ours can be asked for them; a remote service is asked itself. */
export interface PolicyQueries {
  /** @throws PacificaError `not-found` when the site keeps no such list */
  query(query: RuleQuery): Promise<Record<string, unknown>[]>;
}

/** @returns whether it can be asked for users, projects and instruments */
export function hasQueries(policy: Policy): policy is Policy & PolicyQueries {
  return 'query' in policy;
}

export interface Metadata {
  /**
   * Checks what can be checked before anything is stored (mimetypes, hash lengths). Ours does; a remote service has no
   * such call, there it does nothing.
   * @throws PacificaError `invalid` naming the entry
   */
  validate(metadata: MetadataDocument): Promise<void>;
  /**
   * Stores a transaction, its key/values and its files. Doing it again with the same transaction id and the same
   * content changes nothing and passes; with other content it is `exists`.
   */
  ingest(metadata: MetadataDocument, user: string): Promise<void>;
  /** Finds files; newest first, empty when there are none. */
  files(query: FileQuery): Promise<CatalogFile[]>;
}

/** A key that some transaction or file has a value for. */
export interface CatalogKey {
  readonly _id: number;
  readonly key: string;
  readonly created: string;
}

/** A transaction without its files; those are found by `files({ transaction })`. */
export interface CatalogTransaction {
  readonly _id: number;
  readonly submitter: unknown;
  readonly project: unknown;
  readonly instrument: unknown;
  readonly created: string;
  readonly updated: string;
  /** a key that was given twice has its last value, as with the originals */
  readonly keyValues: Readonly<Record<string, string>>;
}

export interface KeyQuery {
  _id?: number;
  key?: string;
  /** only ids greater than this: reads a long list piece by piece */
  above?: number;
  limit?: number;
  page?: number;
}

/** Optional: what metadata can be asked beside files. Ours can; a remote service is asked itself. */
export interface Lookups {
  /** Finds keys, the oldest first. */
  keys(query: KeyQuery): Promise<CatalogKey[]>;
  /** @throws PacificaError `not-found` */
  transaction(id: number): Promise<CatalogTransaction>;
  /** @returns the key/values of each file that has some */
  fileKeyValues(files: readonly number[]): Promise<Map<number, { key: string; value: string }[]>>;
}

/** @returns whether it can be asked for keys and transactions */
export function hasLookups(metadata: Metadata): metadata is Metadata & Lookups {
  return 'transaction' in metadata;
}

/** The three services that the originals had beside the four: embedded in our database, or each over HTTP. */
export interface Catalog {
  readonly ids: UniqueIds;
  readonly policy: Policy;
  readonly metadata: Metadata;
}

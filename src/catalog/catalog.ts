/** One entry of a bundle's metadata document. Extra keys travel unchanged. */
export interface MetadataEntry {
  readonly destinationTable: string;
  readonly [key: string]: unknown;
}

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
  check(metadata: readonly MetadataEntry[], user: string): Promise<void>;
}

export interface Metadata {
  /**
   * Checks what can be checked before anything is stored (mimetypes, hash lengths). Ours does; a remote service has no
   * such call, there it does nothing.
   * @throws PacificaError `invalid` naming the entry
   */
  validate(metadata: readonly MetadataEntry[]): Promise<void>;
  /**
   * Stores a transaction, its key/values and its files. Doing it again with the same transaction id and the same
   * content changes nothing and passes; with other content it is `exists`.
   */
  ingest(metadata: readonly MetadataEntry[], user: string): Promise<void>;
  /** Finds files; newest first, empty when there are none. */
  files(query: FileQuery): Promise<CatalogFile[]>;
}

/** The three services that the originals had beside the four: embedded in our database, or each over HTTP. */
export interface Catalog {
  readonly ids: UniqueIds;
  readonly policy: Policy;
  readonly metadata: Metadata;
}

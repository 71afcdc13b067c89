import type { ArchiveId } from '../lib/archive-id.js';
import type { Draft, Drafts, FileStatus, PublishOptions, StoredFile } from '../storage/backends/backend.js';
import type { FileRecords } from './file-records.js';

/** Drafts whose publishing is written down in the archive's records. */
export class RecordedDrafts implements Drafts {
  readonly #drafts: Drafts;
  readonly #records: FileRecords;
  readonly #status: (id: ArchiveId) => Promise<FileStatus | undefined>;

  /** @param status tells what the archive has under an id */
  constructor(drafts: Drafts, records: FileRecords, status: (id: ArchiveId) => Promise<FileStatus | undefined>) {
    this.#drafts = drafts;
    this.#records = records;
    this.#status = status;
  }

  create(group: string, name: string): Promise<Draft> {
    return this.#drafts.create(group, name);
  }

  sync(group: string): Promise<void> {
    return this.#drafts.sync(group);
  }

  open(group: string, name: string): Promise<StoredFile> {
    return this.#drafts.open(group, name);
  }

  async publish(
    group: string,
    name: string,
    id: ArchiveId,
    { checksum, beforeVisible, ...transfer }: PublishOptions = {},
  ): Promise<void> {
    let announced: { settle: (status: Pick<FileStatus, 'etag'>) => void; etag: string | undefined } | undefined;
    await this.#drafts.publish(group, name, id, {
      ...transfer,
      beforeVisible: async (draft) => {
        await beforeVisible?.(draft);
        announced = { settle: await this.#records.announce(id, draft, checksum), etag: draft.etag };
      },
    });
    const { settle, etag } = announced ?? {};
    // where the storage can not tell beforehand what it will be, it is looked at
    const status = etag === undefined ? await this.#status(id) : { etag };
    if (status !== undefined) settle?.(status);
  }

  async unpublish(group: string, name: string, id: ArchiveId): Promise<void> {
    const status = await this.#status(id);
    if (status !== undefined) await this.#records.deleting(id, status);
    await this.#drafts.unpublish(group, name, id);
    // what is there still is another file, whose record is mended later
    if ((await this.#status(id)) === undefined) this.#records.deleted(id);
  }

  removeGroup(group: string): Promise<void> {
    return this.#drafts.removeGroup(group);
  }

  groups(): Promise<string[]> {
    return this.#drafts.groups();
  }
}

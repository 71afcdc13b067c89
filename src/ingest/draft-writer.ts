import type { Drafts } from '../storage/backends/backend.js';
import { createHasher, type HashType } from '../lib/digest.js';
import type { TarMember } from '../lib/tar/reader.js';
import type { NewMember } from '../storage/database/ingest-jobs.js';

/** files up to this many bytes are taken into memory whole, so that the next ones come in while they are written */
const SMALL = 256 * 1024;
/** files that are on their way to the disk at a time: what is waited for is mostly fsync */
const PARALLEL = 16;

/** Writes the files of a bundle into drafts as they come, hashing them on the way. */
export class DraftWriter {
  readonly #drafts: Drafts;
  readonly #group: string;
  readonly #running = new Set<Promise<void>>();
  #stored: NewMember[] = [];
  #failure: { error: unknown } | undefined;

  constructor(drafts: Drafts, group: string) {
    this.#drafts = drafts;
    this.#group = group;
  }

  /**
   * Takes a file. Its body has been read when this resolves; it may not be on disk yet.
   * @throws what an earlier file's write threw
   */
  async add(member: TarMember, place: Pick<NewMember, 'position' | 'path'>, hashtype: HashType): Promise<void> {
    while (this.#running.size >= PARALLEL) await Promise.race(this.#running);
    this.#throwIfFailed();
    const hasher = createHasher(hashtype);
    const stored = (): void => {
      const { size, mtimeMs: mtime } = member;
      this.#stored.push({ ...place, size, mtime, hashtype, hashsum: hasher.digest('hex') });
    };
    if (member.size <= SMALL) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of member.body) {
        hasher.update(chunk);
        chunks.push(chunk);
      }
      this.#run(this.#writeSmall(place.position, chunks, member.mtimeMs).then(stored));
      return;
    }
    const draft = await this.#drafts.create(this.#group, draftName(place.position));
    try {
      for await (const chunk of member.body) {
        // given to the disk first: it writes while we hash
        const written = draft.write(chunk);
        hasher.update(chunk);
        await written;
      }
    } catch (error) {
      await draft.discard();
      throw error;
    }
    this.#run(draft.finish(member.mtimeMs).then(stored));
  }

  /** @returns the files that got safely to disk since the last call, in no particular order */
  takeStored(): NewMember[] {
    const stored = this.#stored;
    this.#stored = [];
    return stored;
  }

  /** how many files {@link takeStored} would give */
  get storedCount(): number {
    return this.#stored.length;
  }

  /** Waits until all files are on disk. @throws what one of them threw */
  async finish(): Promise<void> {
    await this.settle();
    this.#throwIfFailed();
  }

  /** Waits until nothing is written any more, whether it went well or not. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #writeSmall(position: number, chunks: readonly Uint8Array[], mtimeMs: number): Promise<void> {
    const draft = await this.#drafts.create(this.#group, draftName(position));
    try {
      for (const chunk of chunks) await draft.write(chunk);
    } catch (error) {
      await draft.discard();
      throw error;
    }
    await draft.finish(mtimeMs);
  }

  #run(work: Promise<void>): void {
    const running: Promise<void> = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** @returns name of the draft of a job's file, by its number in the bundle */
export function draftName(position: number): string {
  return String(position);
}

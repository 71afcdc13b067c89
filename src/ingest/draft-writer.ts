import type { Draft, Drafts } from '../storage/backends/backend.js';
import { hashBytes, type HashType } from '../lib/digest.js';
import { giveBuffer, LARGE_BUFFER, SMALL_BUFFER, takeBuffer } from '../lib/io-buffer.js';
import { streamHashes } from '../lib/stream-hashes.js';
import type { TarMember } from '../lib/tar/reader.js';
import type { NewMember } from '../storage/database/ingest-jobs.js';

/** files up to this many bytes are taken into memory whole, so that the next ones come in while they are written */
const SMALL = LARGE_BUFFER;
/** bytes of such files that are in memory at a time */
const MEMORY = 8 * 1024 * 1024;
/** files that are on their way to the disk at a time: what is waited for is mostly fsync */
const PARALLEL = 128;

/** Writes the files of a bundle into drafts as they come, hashing them on the way. */
export class DraftWriter {
  readonly #drafts: Drafts;
  readonly #group: string;
  #any = false;
  #running = 0;
  /** bytes in memory */
  #held = 0;
  #ended: (() => void) | undefined;
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
    this.#any = true;
    const isSmall = member.size <= SMALL;
    const bytes = isSmall ? bufferSize(member) : 0;
    while (this.#running >= PARALLEL || (this.#running > 0 && this.#held + bytes > MEMORY)) await this.#oneEnds();
    this.#throwIfFailed();
    const stored = (hashsum: string): void => {
      const { size, mtimeMs: mtime } = member;
      this.#stored.push({ ...place, size, mtime, hashtype, hashsum });
    };
    if (isSmall) {
      const memory = takeBuffer(bytes);
      let length = 0;
      for await (const chunk of member.body) {
        memory.set(chunk, length);
        length += chunk.length;
      }
      const body = memory.subarray(0, length);
      const hashsum = hashBytes(hashtype, body);
      this.#run(bytes, async () => {
        await this.#writeSmall(place.position, body, member.mtimeMs);
        giveBuffer(memory);
        stored(hashsum);
      });
      return;
    }
    const draft = await this.#drafts.create(this.#group, draftName(place.position));
    const hashsum = await writeLarge(draft, member, hashtype);
    this.#run(0, async () => {
      await draft.finish(member.mtimeMs);
      stored(hashsum);
    });
  }

  /** @returns the files that were written since the last call, in no particular order; they are safe after {@link finish} */
  takeStored(): NewMember[] {
    const stored = this.#stored;
    this.#stored = [];
    return stored;
  }

  /** how many files {@link takeStored} would give */
  get storedCount(): number {
    return this.#stored.length;
  }

  /** Makes all files durable that were taken. @throws what one of them threw */
  async finish(): Promise<void> {
    await this.settle();
    this.#throwIfFailed();
    if (this.#any) await this.#drafts.sync(this.#group);
  }

  /** Waits until nothing is written any more, whether it went well or not. */
  async settle(): Promise<void> {
    while (this.#running > 0) await this.#oneEnds();
  }

  async #writeSmall(position: number, bytes: Uint8Array, mtimeMs: number): Promise<void> {
    const draft = await this.#drafts.create(this.#group, draftName(position));
    try {
      await draft.write(bytes);
    } catch (error) {
      await draft.discard();
      throw error;
    }
    await draft.finish(mtimeMs);
  }

  /** @param bytes that are in memory while the work goes on */
  #run(bytes: number, work: () => Promise<void>): void {
    this.#running += 1;
    this.#held += bytes;
    void work()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running -= 1;
        this.#held -= bytes;
        this.#ended?.();
      });
  }

  /** Only one may wait at a time: whoever feeds the writer does. */
  #oneEnds(): Promise<void> {
    return new Promise((resolve) => (this.#ended = resolve));
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function bufferSize({ size }: TarMember): number {
  return size <= SMALL_BUFFER ? SMALL_BUFFER : LARGE_BUFFER;
}

/** Writes a file's body, which is hashed while it passes. @returns the hash */
async function writeLarge(draft: Draft, { body }: TarMember, hashtype: HashType): Promise<string> {
  const hashes = streamHashes([hashtype]);
  try {
    for await (const chunk of body) await Promise.all([draft.write(chunk), hashes.update(chunk)]);
  } catch (error) {
    hashes.discard();
    await draft.discard();
    throw error;
  }
  try {
    const [hashsum = ''] = await hashes.digest();
    return hashsum;
  } catch (error) {
    await draft.discard();
    throw error;
  }
}

/** @returns name of the draft of a job's file, by its number in the bundle */
export function draftName(position: number): string {
  return String(position);
}

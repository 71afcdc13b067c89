import { DirectWriter } from './direct-writer.js';
import { PacificaError } from './errors.js';
import { syncFile } from './file-calls.js';
import { FileWriter } from './file-writer.js';
import { Slots } from './slots.js';

/** bytes of a file after which the disk is told to begin */
const SYNC_AHEAD = 32 * 1024 * 1024;
/**
 * files at a time that the disk is told to begin with: with more of them it is busy anyway, and writes in the calling
 * thread would wait for it (measured: 90 ms with 64 at once)
 */
const FEW = 8;
/** syncs that nobody waits for run at a time: of the four threads that Node has for files one is left to everybody else */
const syncs = new Slots(3);
/** bytes after which a file counts as large: what follows goes straight to the disk where that can be */
const LARGE = 8 * 1024 * 1024;

/**
 * As {@link FileWriter}, for a file that is to be on stable storage: the disk writes while more comes in, so that the end
 * has not to wait for all of it.
 */
export class SyncedWriter {
  static #open = 0;

  readonly #fd: number;
  readonly #writer: FileWriter;
  #size = 0;
  /** writes what comes after {@link LARGE} bytes */
  #direct: DirectWriter | undefined;
  /** the last piece being taken, or the rest being written */
  #taking: Promise<void> | undefined;
  #flushed = false;
  #released: Promise<void> | undefined;
  /** bytes that were written since the last sync began */
  #unsynced = 0;
  #syncing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param file open for writing; stays open until {@link release} */
  constructor(file: { readonly fd: number }) {
    this.#fd = file.fd;
    this.#writer = new FileWriter(file);
    SyncedWriter.#open += 1;
  }

  /** bytes handed over so far */
  get size(): number {
    return this.#size;
  }

  /** As FileWriter's. Throws what a sync before it threw too: whoever sends need not go on for hours. */
  write(piece: Uint8Array): Promise<void> {
    this.#taking = this.#take(piece);
    return this.#taking;
  }

  /** Writes what is left. All bytes are with the operating system when it resolves; nothing is written after it. */
  flush(): Promise<void> {
    this.#flushed = true;
    this.#taking = this.#flush();
    return this.#taking;
  }

  /** Brings all that was flushed to stable storage, and what else is changed of the file. */
  async sync(): Promise<void> {
    await this.#synced();
    await syncFile(this.#fd);
  }

  /** As {@link sync}, in turn with others that go on with something else meanwhile. */
  async syncInTurn(): Promise<void> {
    // before it has its turn: what it waits for needs one too
    await this.#synced();
    await syncs.run(() => syncFile(this.#fd));
  }

  /** As FileWriter's: nothing is under way on the file when it resolves. May be called twice. */
  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  async #release(): Promise<void> {
    SyncedWriter.#open -= 1;
    await this.#taking?.catch(() => undefined);
    await this.#writer.release();
    await this.#letGo();
    await this.#syncing;
  }

  async #flush(): Promise<void> {
    await this.#writer.flush();
    await this.#direct?.flush();
    await this.#letGo();
  }

  /** Lets another file go past the page cache. */
  async #letGo(): Promise<void> {
    const direct = this.#direct;
    this.#direct = undefined;
    await direct?.release();
  }

  async #take(piece: Uint8Array): Promise<void> {
    this.#throwIfFailed();
    // its place is not where the descriptor is
    if (this.#flushed) throw new PacificaError('internal', 'a file is written to that was finished');
    const room = LARGE - this.#size;
    this.#size += piece.length;
    if (room <= 0 || piece.length < room) return this.#write(piece);
    await this.#write(piece.subarray(0, room));
    await this.#writer.flush();
    this.#direct = await DirectWriter.begin(this.#fd, LARGE);
    await this.#write(piece.subarray(room));
  }

  async #write(piece: Uint8Array): Promise<void> {
    if (this.#direct === undefined) await this.#writer.write(piece);
    else await this.#direct.write(piece);
    if (this.#direct?.isDirect === true) return;
    this.#unsynced += piece.length;
    if (this.#unsynced < SYNC_AHEAD || this.#syncing !== undefined || SyncedWriter.#open > FEW) return;
    this.#syncAhead();
  }

  #syncAhead(): void {
    this.#unsynced = 0;
    this.#syncing = syncs
      .run(() => syncFile(this.#fd))
      .catch((error: unknown) => {
        // the system tells a fault of the disk once: the sync at the end may know nothing of it
        this.#failure ??= { error };
      })
      .finally(() => (this.#syncing = undefined));
  }

  /** Waits for a sync under way. Throws what one of them threw. */
  async #synced(): Promise<void> {
    await this.#syncing;
    this.#throwIfFailed();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

import { syncFile } from './file-calls.js';
import { FileWriter } from './file-writer.js';
import { Slots } from './slots.js';

/** bytes of a file after which the disk is told to begin */
const SYNC_AHEAD = 32 * 1024 * 1024;
/** syncs that run at a time: of the four threads that Node has for files one is left to everybody else */
const syncs = new Slots(3);

/** As {@link FileWriter}, for a file that is to be on stable storage: the disk writes while more comes in. */
export class SyncedWriter {
  readonly #fd: number;
  readonly #writer: FileWriter;
  /** bytes that were written since the last sync began */
  #unsynced = 0;
  #syncing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param file open for writing; stays open until {@link release} */
  constructor(file: { readonly fd: number }) {
    this.#fd = file.fd;
    this.#writer = new FileWriter(file);
  }

  /** bytes handed over so far */
  get size(): number {
    return this.#writer.size;
  }

  /** As FileWriter's. Throws what a sync before it threw too: whoever sends need not go on for hours. */
  async write(piece: Uint8Array): Promise<void> {
    this.#throwIfFailed();
    await this.#writer.write(piece);
    this.#unsynced += piece.length;
    if (this.#unsynced >= SYNC_AHEAD && this.#syncing === undefined) this.#syncAhead();
  }

  /** Writes what is left. All bytes are with the operating system when it resolves. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /** Brings all that was flushed to stable storage, and what else is changed of the file. */
  async sync(): Promise<void> {
    await this.#syncing;
    this.#throwIfFailed();
    await syncs.run(() => syncFile(this.#fd));
  }

  /** As FileWriter's: nothing is under way on the file when it resolves. May be called twice. */
  async release(): Promise<void> {
    await this.#writer.release();
    await this.#syncing;
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

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

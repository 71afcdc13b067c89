import type { Archive, ArchiveFile } from '../../src/archive/archive.js';
import type { LocalArchive } from '../../src/archive/local-archive.js';
import type { ArchiveId } from '../../src/lib/archive-id.js';
import type { FileStatus } from '../../src/storage/backends/backend.js';

/** An archive on another machine: its files can not be linked and come as streams. Counts, and fails as it is told. */
export class FarArchive implements Archive {
  readonly opened: string[] = [];
  readonly asked: string[] = [];
  readonly staged: string[][] = [];
  beforeOpen: (id: string) => Promise<void> | void = () => undefined;
  beforeStatus: (id: string) => void = () => undefined;
  change: (status: FileStatus) => FileStatus = (status) => status;
  chunks: (id: string, bytes: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array> = (_, bytes) => bytes;
  readonly #real: LocalArchive;

  constructor(real: LocalArchive) {
    this.#real = real;
  }

  get drafts(): Archive['drafts'] {
    return this.#real.drafts;
  }

  async open(id: ArchiveId): Promise<ArchiveFile> {
    this.opened.push(id);
    await this.beforeOpen(id);
    const file = await this.#real.open(id);
    return {
      status: file.status,
      stream: (start, end) => this.chunks(id, file.stream(start, end)),
      close: () => file.close(),
    };
  }

  async status(id: ArchiveId): Promise<FileStatus> {
    this.asked.push(id);
    this.beforeStatus(id);
    return this.change(await this.#real.status(id));
  }

  async stage(ids: readonly ArchiveId[]): Promise<void> {
    this.staged.push([...ids]);
  }

  put: Archive['put'] = (...parameters) => this.#real.put(...parameters);
  move: Archive['move'] = (...parameters) => this.#real.move(...parameters);
  sweep: Archive['sweep'] = () => this.#real.sweep();
  delete: Archive['delete'] = (id) => this.#real.delete(id);
  close: Archive['close'] = () => this.#real.close();
}

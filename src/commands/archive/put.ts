import { Args, Flags } from '../../cli/oclif.js';
import { archiveUrl, jobsFlag, progressFlag } from '../../cli/client-flags.js';
import { ClientCommand } from '../../cli/client-command.js';
import { readIds } from '../../cli/id-list.js';
import { type Progress, startProgress } from '../../cli/progress.js';
import { numbered, paragraphs, printable } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { walk } from '../../client/bundle-walk.js';
import { reach } from '../../client/reach.js';
import { type FileFacts, SteadyFile } from '../../client/steady-file.js';
import { UniqueIdClient } from '../../client/unique-id-client.js';
import type { Config } from '../../config/load.js';
import { type ArchiveId, parseArchiveId } from '../../lib/archive-id.js';
import { hashReader } from '../../lib/digest.js';
import { mayPass, PacificaError } from '../../lib/errors.js';
import { readChunks } from '../../lib/random-reader.js';
import { formatSize } from '../../lib/sizes.js';

/** ids that are taken from the unique id service at once */
const IDS_AT_ONCE = 1000;

interface LocalFile extends FileFacts {
  readonly path: string;
}

interface Upload {
  readonly id: ArchiveId;
  readonly file: LocalFile;
  /** nothing may be under the id yet */
  readonly fresh: boolean;
}

export default class ArchivePut extends ClientCommand {
  static override summary = 'Store files in the archive';
  static override description =
    paragraphs(`The archive checks length and hash of what arrives, and keeps the files' times. Of folders, all files below are stored;
symbolic links in them are left out. A file that is there under a given id is replaced, unless the archive is write-once
(7): the same command may be given twice. Without --id and --ids-from each file gets a new id of the unique id service, and
its line is printed when it is stored: id, tab, path. Given twice, that stores it twice; nothing is ever replaced by it.
When one of several fails, the others are stored all the same.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> foo.txt --id 12345',
    'cat foo.txt | <%= config.bin %> <%= command.id %> - --id 12345',
    '<%= config.bin %> <%= command.id %> run-7 notes.txt --jobs 8 > ids.txt',
  ];
  static override args = {
    path: Args.string({
      description: 'File or folder to store; - reads standard input',
      required: true,
      multiple: true,
      ignoreStdin: true,
    }),
  };
  static override flags = {
    id: Flags.string({ summary: 'Id to store one file under', helpValue: 'ID', exclusive: ['ids-from'] }),
    'ids-from': Flags.string({
      summary: 'Read the ids from a file, one a line; - is standard input',
      helpValue: 'FILE',
    }),
    ...jobsFlag,
    ...progressFlag,
    ...archiveUrl,
  };

  readonly #errors: Error[] = [];

  protected override doesMore = true;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchivePut);
    const config = await this.clientConfig(flags);
    const client = new ArchiveClient(config.archive.url);
    if (args.path.includes('-')) {
      await this.#stdin(client, config, args.path, flags);
      return;
    }
    const files = await this.#find(args.path);
    const ids = await this.#givenIds(files, flags);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    const progress = startProgress(files.length === 1 ? (files[0]?.path ?? '') : 'storing', {
      bytes,
      ...(files.length > 1 && { files: files.length }),
    });
    try {
      const errors = await this.forEach(
        ids === undefined ? this.#freshIds(files, config) : uploads(files, ids),
        flags.jobs,
        (upload, attempt) => this.#store(client, upload, attempt, progress),
        ({ id, file: { path, size } }) => {
          progress.file();
          progress.wipe();
          if (flags.json) this.printJson({ id, path, size });
          else if (flags.id !== undefined) this.print(`stored ${formatSize(size)} as file ${id}\n`);
          else this.print(`${id}\t${printable(path)}\n`);
        },
      );
      this.#errors.push(...errors);
    } finally {
      progress.stop();
    }
    this.endWith(this.#errors);
  }

  /** What can not be read is told, and the rest goes on. */
  async #find(paths: readonly string[]): Promise<LocalFile[]> {
    const onProblem = (error: unknown): void => {
      if (this.signal.aborted) throw error;
      this.showError(error);
      this.#errors.push(error instanceof Error ? error : new Error(String(error)));
    };
    const onSkipped = (path: string, what: string): void => this.warning(`${path} is ${what}, left out`);
    const found: LocalFile[] = [];
    for (const path of paths) {
      try {
        found.push(...(await walk([path], { onSkipped, onProblem, signal: this.signal })));
      } catch (error) {
        onProblem(error);
      }
    }
    return found;
  }

  /** @returns undefined when they are to come from the unique id service */
  async #givenIds(
    files: readonly LocalFile[],
    { id, 'ids-from': list }: { readonly id?: string; readonly 'ids-from'?: string },
  ): Promise<ArchiveId[] | undefined> {
    if (id === undefined && list === undefined) return undefined;
    // which id belongs to which file is no longer clear
    this.endWith(this.#errors);
    const ids = id === undefined ? await readIds(list ?? '', this.signal) : [parseArchiveId(id)];
    requireDifferent(ids);
    if (files.length === ids.length || files.length === 0) return ids;
    throw new PacificaError(
      'invalid',
      `${numbered(files.length, 'file')} for ${numbered(ids.length, 'id')}: nothing was stored`,
      {
        hint: id === undefined ? 'list one id for each file' : 'use --ids-from, or let the unique id service give ids',
      },
    );
  }

  async *#freshIds(files: readonly LocalFile[], config: Config): AsyncGenerator<Upload> {
    for (let at = 0; at < files.length; at += IDS_AT_ONCE) {
      const some = files.slice(at, at + IDS_AT_ONCE);
      const start = await takeIds(config, some.length, this.signal);
      for (const [index, file] of some.entries()) yield { id: parseArchiveId(start + index), file, fresh: true };
    }
  }

  async #store(
    client: ArchiveClient,
    { id, file: { path, ...facts }, fresh }: Upload,
    attempt: number,
    progress: Progress,
  ): Promise<void> {
    const file = SteadyFile.open(path, facts);
    let shown = 0;
    try {
      const digest = { type: 'sha256', sum: await hashReader(file, 'sha256', { signal: this.signal }) } as const;
      if (fresh && attempt === 1) await requireFree(client, id, this.signal);
      const body = counted(readChunks(file), (bytes) => {
        shown += bytes;
        progress.add(bytes);
      });
      await client.put(id, body, { ...facts, digest, create: fresh, signal: this.signal });
    } catch (error) {
      progress.add(-shown);
      if (attempt > 1 && fresh && isTaken(error)) {
        // it was stored the first time, only the answer was lost
        const there = await client.status(id, this.signal);
        if (there.size === facts.size && there.digest?.sum === (await hashReader(file, 'sha256'))) return;
      }
      throw error;
    } finally {
      await file.close();
    }
  }

  async #stdin(
    client: ArchiveClient,
    config: Config,
    paths: readonly string[],
    flags: { readonly id?: string; readonly 'ids-from'?: string; readonly json: boolean },
  ): Promise<void> {
    if (paths.length > 1 || flags['ids-from'] !== undefined) {
      throw new PacificaError('invalid', 'standard input (-) is one file, and the only one');
    }
    // what is read from a pipe can not be read again for a second try
    await reach('the archive', config.archive.url, this.signal);
    const id =
      flags.id === undefined ? parseArchiveId(await takeIds(config, 1, this.signal)) : parseArchiveId(flags.id);
    const progress = startProgress('standard input');
    let size: number;
    try {
      const chunks = counted(process.stdin as AsyncIterable<Uint8Array>, (bytes) => progress.add(bytes));
      ({ size } = await client.put(id, chunks, { create: flags.id === undefined, signal: this.signal }));
    } finally {
      progress.stop();
    }
    if (flags.json) this.printJson({ id, path: '-', size });
    else if (flags.id === undefined) this.print(`${id}\t-\n`);
    else this.print(`stored ${formatSize(size)} as file ${id}\n`);
  }
}

function* uploads(files: readonly LocalFile[], ids: readonly ArchiveId[]): Generator<Upload> {
  for (const [index, file] of files.entries()) {
    const id = ids[index];
    if (id !== undefined) yield { id, file, fresh: false };
  }
}

/** Of two files under one id the first would be replaced by the second, and both be told as stored. */
function requireDifferent(ids: readonly ArchiveId[]): void {
  const seen = new Set<ArchiveId>();
  for (const id of ids) {
    if (seen.has(id)) {
      throw new PacificaError('invalid', `id ${id} is listed more than once: nothing was stored`, {
        hint: 'list one id for each file',
      });
    }
    seen.add(id);
  }
}

/** @returns the first of so many consecutive ids, from the site's unique id service or the catalog's */
async function takeIds({ uniqueid, catalog }: Config, count: number, signal: AbortSignal): Promise<number> {
  const client = new UniqueIdClient(uniqueid.url === '' ? catalog.url : uniqueid.url, { signal });
  try {
    return (await client.take('file', count)).start;
  } catch (error) {
    if (!(error instanceof PacificaError) || !mayPass(error)) throw error;
    throw new PacificaError(error.code, error.message, {
      hint: 'start the catalog or name the unique id service (PACIFICA_UNIQUEID_URL), or give --id or --ids-from',
      cause: error,
    });
  } finally {
    await client.close();
  }
}

/** An original archive replaces a file whatever it is asked: so it is asked beforehand what it has. */
async function requireFree(client: ArchiveClient, id: ArchiveId, signal: AbortSignal): Promise<void> {
  try {
    await client.status(id, signal);
  } catch (error) {
    if (error instanceof PacificaError && error.code === 'not-found') return;
    throw error;
  }
  throw new PacificaError('exists', `file ${id} is in the archive already, though its id is new`, {
    hint: 'the unique id service does not belong to this archive: check PACIFICA_UNIQUEID_URL and PACIFICA_CATALOG_URL',
  });
}

function isTaken(error: unknown): boolean {
  return error instanceof PacificaError && error.code === 'exists';
}

async function* counted(chunks: AsyncIterable<Uint8Array>, add: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk;
    add(chunk.length);
  }
}

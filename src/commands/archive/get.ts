import { join } from 'node:path';
import { Flags } from '../../cli/oclif.js';
import { archiveUrl, jobsFlag, outputFlag, progressFlag } from '../../cli/client-flags.js';
import { DownloadCommand } from '../../cli/download-command.js';
import { idArgs, idFlags, requireIds } from '../../cli/id-list.js';
import { startProgress } from '../../cli/progress.js';
import { receive, type ReceiveOptions } from '../../cli/receive.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { localError } from '../../client/steady-file.js';
import type { ArchiveId } from '../../lib/archive-id.js';
import { parseDigestField } from '../../lib/digest-field.js';
import { PacificaError } from '../../lib/errors.js';
import { makeFolders } from '../../lib/make-folders.js';
import { formatSize } from '../../lib/sizes.js';

type Fetching = Pick<ReceiveOptions, 'what' | 'fetch' | 'expected' | 'keepTime' | 'goOn'>;

export default class ArchiveGet extends DownloadCommand {
  static override summary = 'Get files from the archive';
  static override description =
    paragraphs(`FILE appears when every byte is there, with the time that the archive has for it, and checked against the hash
when the archive gives one (6 when it does not match). A connection that breaks is taken up again. Of several ids, or a
list of them, FILE is the folder that they go to, each under its id; when one fails, the others are fetched all the same.
With --continue a file that is there already is taken for the beginning, or all, of what is fetched.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> 12345 --output foo.txt',
    '<%= config.bin %> <%= command.id %> 12345 | sha1sum',
    '<%= config.bin %> <%= command.id %> --from-file ids.txt --output folder --continue --jobs 8',
  ];
  static override args = idArgs;
  static override flags = {
    continue: Flags.boolean({ summary: 'Go on with what is there already' }),
    ...outputFlag,
    ...idFlags,
    ...jobsFlag,
    ...progressFlag,
    ...archiveUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveGet);
    const { archive } = await this.clientConfig(flags);
    const ids = await requireIds(args, flags, this.signal);
    const client = new ArchiveClient(archive.url);
    const { output, continue: goOn } = flags;
    this.doesMore = output !== undefined;
    if (goOn && output === undefined) {
      throw new PacificaError('invalid', '--continue needs --output: what is to be gone on with');
    }
    const fetching = (id: ArchiveId): Fetching => ({
      what: `file ${id}`,
      fetch: (rest) => client.get(id, { rest, signal: this.signal }),
      expected: (download) => parseDigestField(download.header('repr-digest')),
      keepTime: true,
      goOn,
    });
    const [only] = ids;
    if (ids.length === 1 && only !== undefined && flags['from-file'] === undefined) {
      await this.download(flags, fetching(only));
      return;
    }
    if (output === undefined) {
      throw new PacificaError('invalid', 'several files need --output, the folder that they go to');
    }
    await this.#many(ids, output, fetching, flags);
  }

  async #many(
    ids: readonly ArchiveId[],
    folder: string,
    fetching: (id: ArchiveId) => Fetching,
    { jobs, json }: { jobs: number; json: boolean },
  ): Promise<void> {
    try {
      await makeFolders(folder);
    } catch (error) {
      throw localError(error, folder);
    }
    const progress = startProgress('fetching', { files: ids.length });
    try {
      const errors = await this.forEach(
        new Set(ids),
        jobs,
        (id) => receive({ ...fetching(id), output: join(folder, id), signal: this.signal, progress }),
        (id, { size, file }) => {
          progress.file();
          progress.wipe();
          if (json) this.printJson({ id, file, size });
          else this.print(`file ${id}: ${formatSize(size)} in ${join(folder, id)}\n`);
        },
      );
      this.endWith(errors);
    } finally {
      progress.stop();
    }
  }
}

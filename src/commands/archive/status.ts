import { ClientCommand } from '../../cli/client-command.js';
import { archiveUrl, jobsFlag } from '../../cli/client-flags.js';
import { idArgs, idFlags, requireIds } from '../../cli/id-list.js';
import { paragraphs, table } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { formatSize } from '../../lib/sizes.js';

export default class ArchiveStatus extends ClientCommand {
  static override summary = 'Show what the archive knows of files';
  static override description =
    paragraphs(`Reads nothing and recalls nothing from tape. Ends with 0 whenever it could tell, and with 3 when a file is not
there; the others are shown all the same.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> 12345 12346',
    '<%= config.bin %> <%= command.id %> 12345 --json',
  ];
  static override args = idArgs;
  static override flags = { ...idFlags, ...jobsFlag, ...archiveUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveStatus);
    const { archive } = await this.clientConfig(flags);
    const client = new ArchiveClient(archive.url);
    const rows: string[][] = [];
    const errors = await this.forEach(
      await requireIds(args, flags, this.signal),
      flags.jobs,
      (id) => client.status(id, this.signal),
      (id, { size, media, mtimeMs, ctimeMs, bytesPerLevel, path }) => {
        const [mtime, ctime] = [mtimeMs, ctimeMs].map((ms) => new Date(ms).toISOString());
        if (flags.json) this.printJson({ id, size, media, mtime, ctime, bytes_per_level: bytesPerLevel, path });
        else rows.push([id, formatSize(size), media, (mtime ?? '').slice(0, 19).replace('T', ' '), path]);
      },
    );
    if (rows.length > 0) this.print(table(['ID', 'SIZE', 'MEDIA', 'MODIFIED (UTC)', 'PATH'], rows));
    this.endWith(errors);
  }
}

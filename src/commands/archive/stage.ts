import { ArchiveCommand } from '../../cli/archive-command.js';
import { archiveUrl, jobsFlag } from '../../cli/client-flags.js';
import { idArgs, idFlags, requireIds } from '../../cli/id-list.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';

export default class ArchiveStage extends ArchiveCommand {
  static override summary = 'Ask for files to be brought to disk';
  static override description = paragraphs(`Returns when it is asked for; "archive status" shows what is on disk.
When one of several fails, the others are asked for all the same.`);
  static override examples = ['<%= config.bin %> <%= command.id %> 12345 12346'];
  static override args = idArgs;
  static override flags = { ...idFlags, ...jobsFlag, ...archiveUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveStage);
    const { archive } = await this.clientConfig(flags);
    const client = new ArchiveClient(archive.url);
    const errors = await this.forEach(
      await requireIds(args, flags, this.signal),
      flags.jobs,
      (id) => client.stage(id, this.signal),
      (id) => {
        if (flags.json) this.printJson({ id, staged: true });
        else this.print(`asked for file ${id}\n`);
      },
    );
    this.endWith(errors);
  }
}

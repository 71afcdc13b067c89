import { Args } from '@oclif/core';
import { ArchiveCommand } from '../../cli/archive-command.js';
import { archiveUrl } from '../../cli/client-flags.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { parseArchiveId } from '../../lib/archive-id.js';

export default class ArchiveStage extends ArchiveCommand {
  static override summary = 'Ask for files to be brought to disk';
  static override description = paragraphs(`Returns when it is asked for; "archive status" shows what is on disk.
When one of several fails, the others are asked for all the same.`);
  static override examples = ['<%= config.bin %> <%= command.id %> 12345 12346'];
  static override args = {
    id: Args.string({ description: 'Id of a file', required: true, multiple: true, ignoreStdin: true }),
  };
  static override flags = { ...archiveUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveStage);
    const { archive } = await this.clientConfig(flags);
    const client = new ArchiveClient(archive.url);
    const errors = await this.forEach(
      args.id.map(parseArchiveId),
      (id) => client.stage(id, this.signal),
      (id) => {
        if (flags.json) this.printJson({ id, staged: true });
        else this.print(`asked for file ${id}\n`);
      },
    );
    this.endWith(errors);
  }
}

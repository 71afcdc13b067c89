import { Flags } from '../../cli/oclif.js';
import { ClientCommand } from '../../cli/client-command.js';
import { archiveUrl, jobsFlag } from '../../cli/client-flags.js';
import { confirm } from '../../cli/confirm.js';
import { idArgs, idFlags, requireIds } from '../../cli/id-list.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';

export default class ArchiveDelete extends ClientCommand {
  static override summary = 'Delete files from the archive';
  static override description =
    paragraphs(`Asks before it does so; in a script give --yes. Nothing brings a deleted file back.
When one of several fails, the others are deleted all the same.`);
  static override examples = ['<%= config.bin %> <%= command.id %> 12345 12346 --yes'];
  static override args = idArgs;
  static override flags = {
    yes: Flags.boolean({ char: 'y', summary: 'Do not ask' }),
    ...idFlags,
    ...jobsFlag,
    ...archiveUrl,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveDelete);
    const { archive } = await this.clientConfig(flags);
    // one that is listed twice is not missing the second time
    const ids = [...new Set(await requireIds(args, flags, this.signal))];
    if (!flags.yes) {
      const what =
        ids.length === 1
          ? `file ${ids.join()}`
          : `${ids.length} files (${ids.slice(0, 5).join(', ')}${ids.length > 5 ? ', ...' : ''})`;
      await confirm(`Delete ${what} from ${archive.url}?`, this.signal);
    }
    const client = new ArchiveClient(archive.url);
    const errors = await this.forEach(
      ids,
      flags.jobs,
      (id, attempt) => client.deleteAgain(id, attempt, this.signal),
      (id) => {
        if (flags.json) this.printJson({ id, deleted: true });
        else this.print(`deleted file ${id}\n`);
      },
    );
    this.endWith(errors);
  }
}

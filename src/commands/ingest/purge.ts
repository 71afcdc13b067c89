import { AdminCommand } from '../../cli/admin-command.js';
import { progressFlag } from '../../cli/client-flags.js';
import { paragraphs } from '../../cli/text.js';

export default class IngestPurge extends AdminCommand {
  static override summary = 'Remove the data of failed jobs whose time is up';
  static override description =
    paragraphs(`On the server. Prints the numbers of the jobs. A failed job keeps its data for [ingest] keep_failed seconds, for
"ingest retry"; daemons remove what is older once a minute, so this is for when none runs. With
PACIFICA_INGEST_KEEP_FAILED=0 before it everything that failed goes.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    'PACIFICA_INGEST_KEEP_FAILED=0 <%= config.bin %> <%= command.id %>',
  ];
  static override flags = { ...AdminCommand.flags, ...progressFlag };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { flags } = await this.parse(IngestPurge);
    await this.administer('ingest', flags, ({ ingest }) =>
      this.purge(
        'jobs',
        ingest.purge(),
        ({ bytes }) => bytes,
        ({ id }) => {
          if (flags.json) this.printJson({ job_id: id, purged: true });
          else this.print(`${id}\n`);
        },
      ),
    );
  }
}

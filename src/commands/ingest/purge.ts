import { AdminCommand } from '../../cli/admin-command.js';
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

  async run(): Promise<void> {
    const { flags } = await this.parse(IngestPurge);
    await this.administer('ingest', flags, async ({ ingest: service }) => {
      for (const job of await service.purge()) {
        if (flags.json) this.printJson({ job_id: job, purged: true });
        else this.print(`${job}\n`);
      }
    });
  }
}

import { Flags } from '../../cli/oclif.js';
import { confirm } from '../../cli/confirm.js';
import { JobsCommand } from '../../cli/jobs-command.js';
import { dataDirFlag } from '../../cli/serve-flags.js';
import { numbered, paragraphs } from '../../cli/text.js';
import { parseDuration } from '../../lib/duration.js';

export default class JobsPurge extends JobsCommand {
  static override summary = 'Remove finished jobs from the queue';
  static override description =
    paragraphs(`Removes what the queue remembers of jobs that have ended, well or badly; workers do it by themselves after [jobs]
keep_finished. Carts, ingests and their files stay. Asks before it does so; in a script give --yes.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --yes',
    '<%= config.bin %> <%= command.id %> --older-than 2h --yes',
  ];
  static override flags = {
    ...dataDirFlag,
    'older-than': Flags.string({
      summary: 'Only jobs that ended longer ago than this: 90s, 2h, "7 days"',
      default: '0s',
      helpValue: 'SPAN',
    }),
    yes: Flags.boolean({ char: 'y', summary: 'Do not ask' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(JobsPurge);
    const before = new Date(Date.now() - parseDuration(flags['older-than']));
    if (!flags.yes) await confirm('Remove finished jobs from the queue?', this.signal);
    const removed = await this.withTools(flags, ({ jobs }) => jobs.admin.purge(before));
    if (flags.json) this.printJson({ removed });
    else this.print(`removed ${numbered(removed, 'job')}\n`);
  }
}

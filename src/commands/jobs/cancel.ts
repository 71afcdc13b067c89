import { Flags } from '../../cli/oclif.js';
import { confirm } from '../../cli/confirm.js';
import { idOf, jobArgs, JobsCommand, parseJob, rowsOf } from '../../cli/jobs-command.js';
import { dataDirFlag } from '../../cli/serve-flags.js';
import { paragraphs } from '../../cli/text.js';

export default class JobsCancel extends JobsCommand {
  static override summary = 'End a job as failed';
  static override description =
    paragraphs(`The cart ends in error, the ingest FAILED, with "cancelled by an admin" for whoever asks; a worker that has it
leaves. What an ingest had made visible is taken back; one whose metadata is being recorded is refused.
"jobs retry" undoes it. Other kinds of jobs are refused: they would come again. Asks before it does so; in a script give --yes. Ends with 1 when the job has ended already.`);
  static override examples = ['<%= config.bin %> <%= command.id %> cart 7 --yes'];
  static override args = jobArgs;
  static override flags = { ...dataDirFlag, yes: Flags.boolean({ char: 'y', summary: 'Do not ask' }) };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(JobsCancel);
    const named = parseJob(args);
    const { kind } = named;
    if (!flags.yes) await confirm(`End ${kind} job ${named.name} as failed?`, this.signal);
    const id = await this.withTools(flags, async (tools) => {
      const one = await idOf(tools, named);
      await tools.jobs.admin.cancel(kind, one, rowsOf(tools, kind));
      return one;
    });
    if (flags.json) this.printJson({ kind, id, cancelled: true });
    else this.print(`cancelled ${kind} job ${id}\n`);
  }
}

import { idOf, jobArgs, JobsCommand, parseJob, rowsOf } from '../../cli/jobs-command.js';
import { dataDirFlag } from '../../cli/serve-flags.js';
import { paragraphs } from '../../cli/text.js';

export default class JobsRetry extends JobsCommand {
  static override summary = 'Run a failed job now';
  static override description =
    paragraphs(`One that waits for its next try does not wait any longer. A cart or an ingest that has failed for good is tried
once more, with what it has. Does not wait for the end: "jobs show" tells how it goes. Ends with 1 when the job runs already,
or has ended well.`);
  static override examples = ['<%= config.bin %> <%= command.id %> ingest 12'];
  static override args = jobArgs;
  static override flags = dataDirFlag;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(JobsRetry);
    const named = parseJob(args);
    const { kind } = named;
    const id = await this.withTools(flags, async (tools) => {
      const one = await idOf(tools, named);
      await tools.jobs.admin.retry(kind, one, rowsOf(tools, kind));
      return one;
    });
    if (flags.json) this.printJson({ kind, id, retried: true });
    else this.print(`${kind} job ${id} runs as soon as a worker is free\n`);
  }
}

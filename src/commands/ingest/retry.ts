import { Args } from '../../cli/oclif.js';
import { AdminCommand } from '../../cli/admin-command.js';
import { parseJobId } from '../../cli/job-id.js';
import { paragraphs } from '../../cli/text.js';

export default class IngestRetry extends AdminCommand {
  static override summary = 'Let a failed job try again';
  static override description =
    paragraphs(`On the server. The job keeps its number, its data and the ids of its files, and goes on from what is there; a
daemon does the work. One that is just being ended is waited for, half a minute at most: then it ends with 4. A job whose
data is gone, or whose bundle never came in, has to be sent again: that ends with 2.`);
  static override examples = ['<%= config.bin %> <%= command.id %> 1234'];
  static override args = {
    job: Args.string({ description: 'Number of the job', required: true, ignoreStdin: true }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(IngestRetry);
    const job = parseJobId(args.job);
    await this.administer('ingest', flags, async ({ ingest: service }) => {
      const record = await service.retry(job, this.patience);
      if (flags.json) this.printJson(record);
      else this.print(`job ${job} is tried again\n`);
    });
  }
}

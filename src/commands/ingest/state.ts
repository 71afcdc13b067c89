import { Args, Flags } from '../../cli/oclif.js';
import { ingestUrl, progressFlag } from '../../cli/client-flags.js';
import { IngestCommand } from '../../cli/ingest-command.js';
import { facts, paragraphs } from '../../cli/text.js';
import { IngestClient, type JobState } from '../../client/ingest-client.js';

export default class IngestState extends IngestCommand {
  static override summary = 'Show how far a job is';
  static override description =
    paragraphs(`Ends with 0 whenever it could tell, a failed job too, and with 3 when there is no such job.
With --watch it waits for the end: 0 when all is safe, 1 when the job failed, 6 when that was because of a wrong hash,
7 when policy refused it.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> 1234',
    '<%= config.bin %> <%= command.id %> 1234 --watch',
  ];
  static override args = {
    job: Args.string({ description: 'Number of the job', required: true, ignoreStdin: true }),
  };
  static override flags = {
    watch: Flags.boolean({ char: 'w', summary: 'Wait for the end of the job' }),
    ...progressFlag,
    ...ingestUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(IngestState);
    const { ingest } = await this.clientConfig(flags);
    const client = new IngestClient(ingest.url, { signal: this.signal });
    const job = flags.watch ? await this.waitFor(client, args.job) : await client.state(args.job);
    if (flags.json) this.printJson(job);
    else this.print(jobFacts(job));
  }
}

function jobFacts({ job_id, state, task, task_percent, updated, exception }: JobState): string {
  return facts([
    ['Job', job_id],
    ['State', state],
    ['Task', `${task}, ${Number(task_percent).toFixed(0)}%`],
    ...(typeof updated === 'string' ? [['Updated', `${updated} UTC`] as const] : []),
    ...(exception === '' ? [] : [['Exception', exception] as const]),
  ]);
}

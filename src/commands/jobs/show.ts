import { cartUids, idOf, jobArgs, jobJson, JobsCommand, parseJob, timeText } from '../../cli/jobs-command.js';
import { dataDirFlag } from '../../cli/serve-flags.js';
import { facts } from '../../cli/text.js';

export default class JobsShow extends JobsCommand {
  static override summary = 'Show a background job';
  static override description = `What it does, how often it has failed, why, and when it is tried again.
Ends with 0 whenever it could tell, and with 3 when there is no such job.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> ingest 12',
    '<%= config.bin %> <%= command.id %> cart 7 --json',
  ];
  static override args = jobArgs;
  static override flags = dataDirFlag;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(JobsShow);
    const named = parseJob(args);
    const { job, uid } = await this.withTools(flags, async (tools) => {
      const one = await tools.jobs.admin.show(named.kind, await idOf(tools, named));
      return { job: one, uid: (await cartUids(tools, [one])).get(one) };
    });
    if (flags.json) this.printJson(jobJson(job, uid));
    else {
      const pairs: [string, string][] = [
        ['Job', `${job.kind} ${job.id}`],
        ['Cart', uid ?? ''],
        ['State', job.state],
        ['Failed tries', String(job.failures)],
        ['Error', job.error ?? ''],
        ['Next try (UTC)', timeText(job.nextRunAt)],
        ['Started (UTC)', timeText(job.startedAt)],
        ['Finished (UTC)', timeText(job.finishedAt)],
        ['Worker', job.worker ?? ''],
      ];
      this.print(facts(pairs.filter(([, value]) => value !== '')));
    }
  }
}

import { Flags } from '../../cli/oclif.js';
import { cartUids, jobJson, JobsCommand, timeText } from '../../cli/jobs-command.js';
import { dataDirFlag } from '../../cli/serve-flags.js';
import { paragraphs, table } from '../../cli/text.js';
import { type JobListOptions, type JobState, jobStates } from '../../jobs/admin.js';
import { jobKinds } from '../../lib/job-queue.js';

/** jobs that are asked for at a time */
const PAGE = 500;

export default class JobsList extends JobsCommand {
  static override summary = 'List background jobs';
  static override description =
    paragraphs(`In the order of their next times. A job is queued (due, waits for a free slot), scheduled (waits for its
time), running, failed (the last run failed; it is tried again at its next time if it has one) or completed. Finished jobs
are shown until they are removed, see [jobs] keep_finished.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --state failed --json',
  ];
  static override flags = {
    ...dataDirFlag,
    kind: Flags.string({ summary: 'Only jobs of this kind', options: [...jobKinds] }),
    state: Flags.string({ summary: 'Only jobs in this state', options: [...jobStates] }),
    limit: Flags.integer({ summary: 'Show no more than this many', min: 1, helpValue: 'N' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(JobsList);
    const limit = flags.limit ?? Infinity;
    const filter: JobListOptions = { kind: flags.kind, state: flags.state as JobState | undefined };
    await this.withTools(flags, async (tools) => {
      const rows: (string | number)[][] = [];
      for (let shown = 0; shown < limit; shown += PAGE) {
        this.signal.throwIfAborted();
        const { jobs } = await tools.jobs.admin.list({ ...filter, skip: shown, limit: Math.min(PAGE, limit - shown) });
        const uids = await cartUids(tools, jobs);
        for (const job of jobs) {
          const uid = uids.get(job);
          if (flags.json) this.printJson(jobJson(job, uid));
          else
            rows.push([job.kind, job.id, uid ?? '', job.state, job.failures, timeText(job.nextRunAt), job.error ?? '']);
        }
        if (jobs.length < PAGE) break;
      }
      if (!flags.json) this.print(table(['KIND', 'ID', 'CART', 'STATE', 'TRIES', 'NEXT (UTC)', 'ERROR'], rows));
    });
  }
}

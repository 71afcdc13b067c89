import { Flags } from '../../cli/oclif.js';
import { AdminCommand } from '../../cli/admin-command.js';
import { parseJobId } from '../../cli/job-id.js';
import { paragraphs } from '../../cli/text.js';
import { PacificaError } from '../../lib/errors.js';

export default class IngestJob extends AdminCommand {
  static override summary = 'Set the state of a job by hand';
  static override description =
    paragraphs(`On the server, for a job that is stuck. What was running for it can change nothing any more. A job that is set
to FAILED before it was done loses what was visible of it, and keeps its data for "ingest retry".

One that is set to OK goes on where it was, or is done again if it was done; one that failed can be set to OK only as done
by hand, with --task 'ingest metadata' --task-percent 100.`);
  static override examples = [
    `<%= config.bin %> <%= command.id %> --job-id 1234 --state FAILED --task 'ingest files' --exception stuck`,
  ];
  static override flags = {
    ...AdminCommand.flags,
    'job-id': Flags.string({ summary: 'Number of the job', required: true, helpValue: 'N' }),
    state: Flags.option({ summary: 'How it stands', options: ['OK', 'FAILED'] as const, required: true })(),
    task: Flags.string({ summary: 'What it is at', helpValue: 'TASK' }),
    'task-percent': Flags.string({ summary: 'Per cent of the task, 0 to 100', helpValue: 'P' }),
    exception: Flags.string({ summary: 'What went wrong', helpValue: 'TEXT' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(IngestJob);
    const { state, task, exception } = flags;
    const job = parseJobId(flags['job-id']);
    const percent = flags['task-percent'];
    const taskPercent = percent === undefined ? undefined : parsePercent(percent);
    await this.administer('ingest', flags, async ({ ingest: service }) => {
      const record = await service.setState(job, {
        state,
        ...(task !== undefined && { task }),
        ...(taskPercent !== undefined && { taskPercent }),
        ...(exception !== undefined && { exception }),
      });
      if (flags.json) this.printJson(record);
      else this.print(`job ${job} is ${record.state}, ${record.task}, ${Number(record.task_percent)}%\n`);
    });
  }
}

function parsePercent(text: string): number {
  const percent = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : NaN;
  if (percent <= 100) return percent;
  throw new PacificaError('invalid', `--task-percent ${JSON.stringify(text)} is not a number from 0 to 100`);
}

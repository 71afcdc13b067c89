import { Flags } from '../../cli/oclif.js';
import { AdminCommand } from '../../cli/admin-command.js';
import { parseSince } from '../../cli/since.js';
import { paragraphs, table } from '../../cli/text.js';

export default class IngestList extends AdminCommand {
  static override summary = 'List jobs, newest first';
  static override description =
    paragraphs(`On the server. A job that makes no progress for [ingest] stuck_after seconds is shown as "stuck", with what it
waits for. "kept" says whether its data is still there: a failed job that has it can be tried again.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --state FAILED --since 7d',
    '<%= config.bin %> <%= command.id %> --since 2026-11-01 --json',
  ];
  static override flags = {
    ...AdminCommand.flags,
    state: Flags.option({ summary: 'Only jobs of this state', options: ['OK', 'FAILED'] as const })(),
    since: Flags.string({ summary: 'Only jobs that began then or later: 2026-11-29, or 36h', helpValue: 'TIME' }),
    limit: Flags.integer({ summary: 'At most so many', default: 100, min: 1, max: 100_000, helpValue: 'N' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(IngestList);
    const { state, limit } = flags;
    const since = flags.since === undefined ? undefined : parseSince(flags.since);
    await this.administer('ingest', flags, async ({ ingest: service }) => {
      const jobs = await service.list({
        limit,
        ...(state !== undefined && { state }),
        ...(since !== undefined && { since }),
      });
      if (flags.json) {
        for (const job of jobs) {
          const { record, kind, user, stuck, kept, files, bytes } = job;
          this.printJson({ ...record, kind, user, stuck, kept, files, bytes });
        }
        return;
      }
      const rows = jobs.map(({ record, stuck, user, kept }) => [
        record.job_id,
        stuck ? 'stuck' : record.complete && record.state === 'OK' ? 'done' : record.state,
        `${record.task}, ${Math.floor(Number(record.task_percent))}%`,
        record.created.slice(0, 19),
        user,
        kept ? 'yes' : '',
        record.exception.split('\n')[0] ?? '',
      ]);
      this.print(table(['JOB', 'STATE', 'TASK', 'BEGAN (UTC)', 'USER', 'KEPT', 'EXCEPTION'], rows));
    });
  }
}

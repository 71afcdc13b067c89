import { ServeCommand } from '../../cli/serve-command.js';
import { noWorkerFlag, singleServiceFlags } from '../../cli/serve-flags.js';

export default class IngestServe extends ServeCommand {
  static override summary = 'Run the ingest service';
  static override description = `Takes bundles and brings them into the archive. Also runs the jobs of ingest,
unless it is told not to.
It runs until SIGTERM or Ctrl-C, and then lets running requests finish.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --port 0 --json',
  ];
  static override flags = { ...singleServiceFlags, ...noWorkerFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(IngestServe);
    await this.serve('ingest', flags, { works: flags['no-worker'] ? [] : ['ingest', 'ingest-purge'] });
  }
}

import { ServeCommand } from '../../cli/serve-command.js';

export default class CatalogServe extends ServeCommand {
  static override summary = 'Run the catalog service';
  static override description = `Answers as the unique id, policy and metadata services of Pacifica do.
It runs until SIGTERM or Ctrl-C, and then lets running requests finish.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --port 0 --json',
  ];

  async run(): Promise<void> {
    const { flags } = await this.parse(CatalogServe);
    await this.serve('catalog', flags);
  }
}

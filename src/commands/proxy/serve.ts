import { ServeCommand } from '../../cli/serve-command.js';

export default class ProxyServe extends ServeCommand {
  static override summary = 'Run the proxy service';
  static override description = `Hands out files by their hash.
It runs until SIGTERM or Ctrl-C, and then lets running requests finish.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --port 0 --json',
  ];

  async run(): Promise<void> {
    const { flags } = await this.parse(ProxyServe);
    await this.serve('proxy', flags);
  }
}

import { ServeCommand } from '../../cli/serve-command.js';
import { noWorkerFlag, singleServiceFlags } from '../../cli/serve-flags.js';

export default class CartServe extends ServeCommand {
  static override summary = 'Run the cart service';
  static override description = `Takes requests for carts, brings their files to disk and hands them out as a tar. Also runs the jobs of carts,
unless it is told not to.
It runs until SIGTERM or Ctrl-C, and then lets running requests finish.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --port 0 --json',
  ];
  static override flags = { ...singleServiceFlags, ...noWorkerFlag };

  async run(): Promise<void> {
    const { flags } = await this.parse(CartServe);
    await this.serve('cart', flags, { works: flags['no-worker'] ? [] : ['cart', 'cart-purge'] });
  }
}

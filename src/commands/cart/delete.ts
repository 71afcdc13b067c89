import { Args } from '../../cli/oclif.js';
import { ClientCommand } from '../../cli/client-command.js';
import { cartUrl } from '../../cli/client-flags.js';
import { CartClient } from '../../client/cart-client.js';

export default class CartDelete extends ClientCommand {
  static override summary = 'Delete a cart';
  static override description = 'The archive keeps the files; only what was brought to disk for the cart goes.';
  static override examples = ['<%= config.bin %> <%= command.id %> run-7'];
  static override args = { uid: Args.string({ description: 'Name of the cart', required: true, ignoreStdin: true }) };
  static override flags = { ...cartUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartDelete);
    const { cart } = await this.clientConfig(flags);
    await new CartClient(cart.url, { signal: this.signal }).delete(args.uid);
    if (flags.json) this.printJson({ uid: args.uid, deleted: true });
    else this.print(`deleted cart ${args.uid}\n`);
  }
}

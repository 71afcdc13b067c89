import { Args } from '@oclif/core';
import { ClientCommand } from '../../cli/client-command.js';
import { cartUrl } from '../../cli/client-flags.js';
import { facts, paragraphs } from '../../cli/text.js';
import { CartClient } from '../../client/cart-client.js';

export default class CartStatus extends ClientCommand {
  static override summary = 'Show how far a cart is';
  static override description =
    paragraphs(`Status is waiting, staging, bundling, ready or error; an error comes with a message.
Ends with 0 whenever it could tell, and with 3 when there is no such cart.`);
  static override examples = ['<%= config.bin %> <%= command.id %> run-7'];
  static override args = { uid: Args.string({ description: 'Name of the cart', required: true, ignoreStdin: true }) };
  static override flags = { ...cartUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartStatus);
    const { cart } = await this.clientConfig(flags);
    const { status, message } = await new CartClient(cart.url, { signal: this.signal }).status(args.uid);
    if (flags.json) this.printJson({ uid: args.uid, status, message });
    else
      this.print(
        facts([['Cart', args.uid], ['Status', status], ...(message === '' ? [] : [['Message', message] as const])]),
      );
  }
}

import { Args } from '@oclif/core';
import { DownloadCommand } from '../../cli/download-command.js';
import { cartUrl, outputFlag, progressFlag } from '../../cli/client-flags.js';
import { paragraphs } from '../../cli/text.js';
import { CartClient } from '../../client/cart-client.js';

export default class CartGet extends DownloadCommand {
  static override summary = 'Download a cart as a tar';
  static override description = paragraphs(`Everything in the tar lies in a folder that is named after the cart's uid.
A connection that breaks is taken up again. A download that is interrupted is kept beside FILE, and the same command
goes on with it. Ends with 4 when the cart is not ready yet.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> run-7 --output run-7.tar',
    '<%= config.bin %> <%= command.id %> run-7 | tar x',
  ];
  static override args = { uid: Args.string({ description: 'Name of the cart', required: true, ignoreStdin: true }) };
  static override flags = { ...outputFlag, ...progressFlag, ...cartUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartGet);
    const { cart } = await this.clientConfig(flags);
    const client = new CartClient(cart.url, { signal: this.signal });
    await this.download(flags, { what: `cart ${args.uid}`, fetch: (rest) => client.get(args.uid, rest) });
  }
}

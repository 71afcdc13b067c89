import { randomUUID } from 'node:crypto';
import { Args, Flags } from '@oclif/core';
import { ClientCommand } from '../../cli/client-command.js';
import { cartUrl, progressFlag } from '../../cli/client-flags.js';
import { startProgress } from '../../cli/progress.js';
import { readJson } from '../../cli/read-input.js';
import { paragraphs } from '../../cli/text.js';
import { CartClient, cartRequest, type CartState, waitForCart } from '../../client/cart-client.js';

export default class CartCreate extends ClientCommand {
  static override summary = 'Ask for a cart of archived files';
  static override description =
    paragraphs(`Prints the cart's uid. LIST.json says which files, where each one is to be in the cart, and its hash:
[{"id": "12345", "path": "a/b.txt", "hashtype": "sha1", "hashsum": "f1d2..."}]
or that list under the key "fileids". A uid that is taken gets the new cart in place of the old one.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --file list.json --wait',
    '<%= config.bin %> <%= command.id %> run-7 --file list.json --bundle',
    'cat list.json | <%= config.bin %> <%= command.id %> --file -',
  ];
  static override args = {
    uid: Args.string({ description: 'Name of the cart; a UUID is made when absent', ignoreStdin: true }),
  };
  static override flags = {
    file: Flags.string({
      char: 'f',
      summary: 'List of files; - reads standard input',
      required: true,
      helpValue: 'LIST.json',
    }),
    bundle: Flags.boolean({ summary: 'Have the tar made on disk before the cart is ready' }),
    wait: Flags.boolean({ char: 'w', summary: 'Wait until the cart is ready' }),
    ...progressFlag,
    ...cartUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartCreate);
    const { cart } = await this.clientConfig(flags);
    const list = cartRequest(await readJson(flags.file, this.signal));
    const uid = args.uid ?? randomUUID();
    const client = new CartClient(cart.url, { signal: this.signal });
    await client.create(uid, flags.bundle ? { ...list, bundle: true } : list);
    // before the waiting: who reads the uid can go on with it meanwhile
    if (!flags.json) this.print(`${uid}\n`);
    const status = flags.wait ? await this.#wait(client, uid) : 'staging';
    if (flags.json) this.printJson({ uid, status });
  }

  async #wait(client: CartClient, uid: string): Promise<string> {
    const progress = startProgress(`cart ${uid}`);
    try {
      const onAnswer = ({ status }: CartState): void => progress.label(`cart ${uid} is ${status}`);
      return (await waitForCart(client, uid, { onAnswer, signal: this.signal })).status;
    } finally {
      progress.stop();
    }
  }
}

import { randomUUID } from 'node:crypto';
import { Args, Flags } from '../../cli/oclif.js';
import { ClientCommand } from '../../cli/client-command.js';
import { cartUrl, catalogUrl, progressFlag } from '../../cli/client-flags.js';
import { startProgress } from '../../cli/progress.js';
import { readJsonLines } from '../../cli/read-input.js';
import { paragraphs } from '../../cli/text.js';
import { CartClient, cartRequest, type CartState, waitForCart } from '../../client/cart-client.js';
import { CatalogClient } from '../../client/catalog-client.js';
import { PacificaError } from '../../lib/errors.js';

export default class CartCreate extends ClientCommand {
  static override summary = 'Ask for a cart of archived files';
  static override description =
    paragraphs(`Prints the cart's uid. LIST.json says which files, where each one is to be in the cart, and its hash:
[{"id": "12345", "path": "a/b.txt", "hashtype": "sha1", "hashsum": "f1d2..."}]
or that list under the key "fileids", or a line of JSON for each file as "pacifica catalog find --json" prints them.
--transaction takes all files of an ingest instead, each at its own path. A uid that is taken gets the new cart in place of the old one.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --file list.json --wait',
    '<%= config.bin %> <%= command.id %> run-7 --file list.json --bundle',
    '<%= config.bin %> <%= command.id %> --transaction 1234 --wait',
    "<%= config.bin %> catalog find --name '*.raw' --json | <%= config.bin %> <%= command.id %> --from -",
  ];
  static override args = {
    uid: Args.string({ description: 'Name of the cart; a UUID is made when absent', ignoreStdin: true }),
  };
  static override flags = {
    file: Flags.string({
      char: 'f',
      aliases: ['from'],
      summary: 'List of files; - reads standard input; --from is the same',
      helpValue: 'LIST.json',
      exactlyOne: ['file', 'transaction'],
    }),
    transaction: Flags.integer({ char: 't', summary: 'All files of this transaction', min: 0, helpValue: 'N' }),
    bundle: Flags.boolean({ summary: 'Have the tar made on disk before the cart is ready' }),
    wait: Flags.boolean({ char: 'w', summary: 'Wait until the cart is ready' }),
    ...progressFlag,
    ...cartUrl,
    ...catalogUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartCreate);
    const { cart, catalog } = await this.clientConfig(flags);
    const list =
      flags.transaction === undefined
        ? cartRequest(await readJsonLines(flags.file ?? '-', this.signal))
        : { fileids: await this.#filesOf(flags.transaction, catalog.url) };
    const uid = args.uid ?? randomUUID();
    const client = new CartClient(cart.url, { signal: this.signal });
    await client.create(uid, flags.bundle ? { ...list, bundle: true } : list);
    // before the waiting: who reads the uid can go on with it meanwhile
    if (!flags.json) this.print(`${uid}\n`);
    const status = flags.wait ? await this.#wait(client, uid) : 'staging';
    if (flags.json) this.printJson({ uid, status });
  }

  async #filesOf(transaction: number, url: string): Promise<object[]> {
    const files: object[] = [];
    for await (const page of new CatalogClient(url, { signal: this.signal }).files({ transaction })) {
      files.push(...page.map(({ id, path, hashtype, hashsum }) => ({ id, path, hashtype, hashsum })));
    }
    if (files.length > 0) return files;
    throw new PacificaError('not-found', `there is no transaction ${transaction}, or it has no files`);
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

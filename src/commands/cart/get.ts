import { Args, Flags } from '../../cli/oclif.js';
import { cartUrl, outputFlag, progressFlag } from '../../cli/client-flags.js';
import { DownloadCommand } from '../../cli/download-command.js';
import { Extraction } from '../../cli/extract.js';
import { startProgress } from '../../cli/progress.js';
import { paragraphs } from '../../cli/text.js';
import { CartClient } from '../../client/cart-client.js';
import type { CartManifest } from '../../client/cart-manifest.js';
import { visitTar } from '../../client/cart-tar.js';
import { Download } from '../../client/download.js';
import { formatSize } from '../../lib/sizes.js';

export default class CartGet extends DownloadCommand {
  static override summary = 'Download a cart as a tar, or its files';
  static override description = paragraphs(`Everything in the tar lies in a folder that is named after the cart's uid.
Each file is checked against the cart's manifest while it comes. A connection that breaks is taken up again. A download
that is interrupted is kept beside FILE, and the same command goes on with it. With --extract the files go into DIR
instead, without the folder of the tar; one of the same name is replaced when the new one is whole and right.
Ends with 4 when the cart is not ready yet, and with 6 when a file is not what it should be.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> run-7 --output run-7.tar',
    '<%= config.bin %> <%= command.id %> run-7 --extract run-7',
    '<%= config.bin %> <%= command.id %> run-7 | tar x',
  ];
  static override args = { uid: Args.string({ description: 'Name of the cart', required: true, ignoreStdin: true }) };
  static override flags = {
    ...outputFlag,
    extract: Flags.string({
      char: 'x',
      summary: 'Unpack into this folder; it is made when it is not there',
      helpValue: 'DIR',
      exclusive: ['output'],
    }),
    ...progressFlag,
    ...cartUrl,
  };

  #manifest: CartManifest | undefined;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartGet);
    const { cart } = await this.clientConfig(flags);
    const client = new CartClient(cart.url, { signal: this.signal });
    try {
      if (flags.extract !== undefined) await this.#extract(client, args.uid, flags.extract, flags.json);
      else await this.#download(client, args.uid, flags);
    } finally {
      await this.#manifest?.close();
    }
  }

  async #download(client: CartClient, uid: string, flags: { output?: string; json: boolean }): Promise<void> {
    await this.download(flags, {
      what: `cart ${uid}`,
      fetch: (rest) => client.get(uid, rest),
      check: async (download) => {
        this.#manifest = await client.manifest(uid, download);
        const entries = this.#manifest?.entries();
        return entries === undefined ? undefined : (pieces) => visitTar(pieces, uid, entries);
      },
    });
  }

  async #extract(client: CartClient, uid: string, folder: string, json: boolean): Promise<void> {
    const download = await Download.open((rest) => client.get(uid, rest), { signal: this.signal });
    const progress = startProgress(`cart ${uid}`, { bytes: download.size });
    const files = new Extraction(folder, (bytes) => progress.add(bytes));
    try {
      this.#manifest = await client.manifest(uid, download);
      await visitTar(download.chunks(), uid, this.#manifest?.entries(), files);
      await files.finish();
    } finally {
      progress.stop();
      await download.discard();
    }
    if (json) this.printJson({ folder, files: files.files, size: files.bytes });
    else this.print(`cart ${uid}: ${files.files} files, ${formatSize(files.bytes)} in ${folder}\n`);
  }
}

import { Args, Flags } from '../../cli/oclif.js';
import { ClientCommand } from '../../cli/client-command.js';
import { cartUrl, progressFlag } from '../../cli/client-flags.js';
import { startProgress } from '../../cli/progress.js';
import { facts, paragraphs } from '../../cli/text.js';
import { CartClient, type CartState, waitForCart } from '../../client/cart-client.js';
import { formatSize } from '../../lib/sizes.js';

export default class CartStatus extends ClientCommand {
  static override summary = 'Show how far a cart is';
  static override description =
    paragraphs(`Status is waiting, staging, bundling, ready or error; an error comes with a message. --json tells all that is
known, each file that failed too. Ends with 0 whenever it could tell, and with 3 when there is no such cart.
With --watch it waits for the end: 0 when the cart is ready, 1 when it failed, 6 when that was because of a wrong
hash.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> run-7',
    '<%= config.bin %> <%= command.id %> run-7 --watch',
    '<%= config.bin %> <%= command.id %> run-7 --json',
  ];
  static override args = { uid: Args.string({ description: 'Name of the cart', required: true, ignoreStdin: true }) };
  static override flags = {
    watch: Flags.boolean({ char: 'w', summary: 'Wait for the end of the cart, with a bar on a terminal' }),
    ...progressFlag,
    ...cartUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartStatus);
    const { cart } = await this.clientConfig(flags);
    const client = new CartClient(cart.url, { signal: this.signal });
    const state = flags.watch ? await this.#watch(client, args.uid) : undefined;
    if (flags.json) this.printJson(await client.details(args.uid));
    else this.print(cartFacts(args.uid, state ?? (await client.status(args.uid))));
  }

  async #watch(client: CartClient, uid: string): Promise<CartState> {
    const progress = startProgress(`cart ${uid}`, { bytes: 'percent' });
    try {
      return await waitForCart(client, uid, {
        onAnswer: (state) => progress.label(`cart ${uid} is ${state.status}`, percentOf(state)),
        signal: this.signal,
      });
    } finally {
      progress.stop();
    }
  }
}

/** By bytes where they are known, else by files. */
function percentOf({ progress }: CartState): number {
  if (progress === undefined) return 0;
  const { filesReady, filesTotal, bytesReady, bytesTotal } = progress;
  const part = bytesTotal === undefined || bytesTotal === 0 ? filesReady / filesTotal : bytesReady / bytesTotal;
  return Math.floor(100 * part);
}

function cartFacts(uid: string, { status, message, progress }: CartState): string {
  const pairs: [string, string][] = [
    ['Cart', uid],
    ['Status', status],
  ];
  if (progress !== undefined) {
    const { filesReady, filesTotal, bytesReady, bytesTotal } = progress;
    pairs.push(['Files', `${filesReady} of ${filesTotal}`]);
    const total = bytesTotal === undefined ? '' : ` of ${formatSize(bytesTotal)}`;
    pairs.push(['Size', `${formatSize(bytesReady)}${total}`]);
  }
  if (message !== '') pairs.push(['Message', message]);
  return facts(pairs);
}

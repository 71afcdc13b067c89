import { Args, Flags } from '../../cli/oclif.js';
import { AdminCommand } from '../../cli/admin-command.js';
import { progressFlag } from '../../cli/client-flags.js';
import { exitCodeOfAll } from '../../cli/exit-codes.js';
import { startProgress } from '../../cli/progress.js';
import { paragraphs, printable } from '../../cli/text.js';
import type { CartService } from '../../cart/service.js';
import { PacificaError } from '../../lib/errors.js';
import type { Cart } from '../../storage/database/carts.js';

export default class CartFixit extends AdminCommand {
  static override summary = 'Check carts on disk, and bring again what is missing or wrong';
  static override description =
    paragraphs(`On the server. Reads every file of the carts and compares its hash; files that had failed are tried again, and an
unfinished cart that nobody works on is taken up. The work itself is done by the daemon. A cart with nothing wrong stays
as it is. Ends with 3 when there is no such cart; the others are looked at all the same.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> run-7 run-8',
    '<%= config.bin %> <%= command.id %> --cartid run-7',
  ];
  static override args = {
    uid: Args.string({ description: 'Name of a cart', multiple: true, ignoreStdin: true }),
  };
  static override flags = {
    ...AdminCommand.flags,
    cartid: Flags.string({
      summary: 'Name of a cart, as the original tool takes it; may be given many times',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'UID',
    }),
    ...progressFlag,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(CartFixit);
    const uids = [...(args.uid ?? []), ...(flags.cartid ?? [])];
    if (uids.length === 0)
      throw new PacificaError('invalid', 'no cart is named', { hint: 'give the uid of one or more' });
    const errors: unknown[] = [];
    await this.administer('cart', flags, async ({ carts: service }) => {
      for (const uid of uids) {
        try {
          await this.#fix(service, uid, flags.json);
        } catch (error) {
          if (this.signal.aborted) throw error;
          this.showError(error);
          errors.push(error);
        }
      }
      this.endsWith = exitCodeOfAll(errors);
    });
  }

  async #fix(service: CartService, uid: string, json: boolean): Promise<void> {
    const cart = await service.find(uid);
    if (cart === undefined) throw new PacificaError('not-found', `there is no cart ${uid}, or it has been deleted`);
    const { status } = cart;
    const wrong = await this.#mend(service, cart);
    const unfinished = status !== 'ready' && status !== 'error';
    if (json) this.printJson({ uid, status, wrong });
    else if (unfinished) this.print(`${printable(uid)}: is ${status}, it goes on\n`);
    else if (wrong === 0 && status === 'ready')
      this.print(`${printable(uid)}: all ${cart.filesTotal} files are right\n`);
    else this.print(`${printable(uid)}: ${wrong} of ${cart.filesTotal} files are brought again\n`);
  }

  async #mend(service: CartService, cart: Cart): Promise<number> {
    const bytes = cart.status === 'ready' ? (cart.bytesTotal ?? undefined) : undefined;
    const total = { files: cart.filesTotal, bytes };
    const progress = startProgress(`checking cart ${cart.uid}`, total);
    const look = {
      onBytes: (bytes: number) => progress.add(bytes),
      onFile: () => progress.file(),
      signal: this.signal,
    };
    try {
      return await service.mend(cart, look);
    } catch (error) {
      if (!this.signal.aborted) throw error;
      throw new PacificaError('aborted', 'interrupted', {
        hint: 'what was found so far is brought again; the same command looks at all of them once more',
        cause: error,
      });
    } finally {
      progress.stop();
    }
  }
}

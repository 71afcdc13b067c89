import { once } from 'node:events';
import { Flags } from '../../cli/oclif.js';
import { AdminCommand } from '../../cli/admin-command.js';
import { paragraphs, printable, table } from '../../cli/text.js';
import type { CartService } from '../../cart/service.js';
import { formatSize } from '../../lib/sizes.js';
import type { Cart } from '../../storage/database/carts.js';

export default class CartList extends AdminCommand {
  static override summary = 'List the carts of a server, and their files';
  static override description =
    paragraphs(`On the server. "ON DISK" is what a cart takes of the volume: nothing for files that
are linked. --json tells of the files too.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --files',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = {
    ...AdminCommand.flags,
    files: Flags.boolean({ summary: 'List the files of each cart below it' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(CartList);
    await this.administer('cart', flags, async ({ carts: service }) => {
      if (flags.json) {
        for await (const cart of service.list()) await this.#json(service, cart);
        return;
      }
      const rows: string[][] = [];
      for await (const cart of service.list()) {
        if (!flags.files) rows.push(row(cart));
        else {
          this.print(table(HEADINGS, [row(cart)]));
          for await (const { archiveId, path, status, message } of service.files(cart)) {
            await this.#write(`  ${printable([archiveId, path, status, message].join('  ').trimEnd())}\n`);
          }
        }
      }
      if (!flags.files) this.print(table(HEADINGS, rows));
    });
  }

  /** One line a cart, written piece by piece: it may have a million files. */
  async #json(service: CartService, cart: Cart): Promise<void> {
    const { id, uid, status, message, bundle, filesReady, filesTotal, bytesReady, bytesTotal, occupied } = cart;
    const head = {
      id,
      uid,
      status,
      message,
      bundle,
      created: time(cart.created),
      updated: time(cart.updated),
      ready: time(cart.ready),
      used: time(cart.used),
      downloaded: time(cart.downloaded),
      files_ready: filesReady,
      files_total: filesTotal,
      bytes_ready: bytesReady,
      bytes_total: bytesTotal,
      occupied,
    };
    await this.#write(`${JSON.stringify(head).slice(0, -1)},"files":[`);
    let separator = '';
    for await (const { archiveId, path, hashtype, hashsum, size, ...file } of service.files(cart)) {
      const facts = { id: archiveId, path, hashtype, hashsum, size, status: file.status, message: file.message };
      await this.#write(separator + JSON.stringify(facts));
      separator = ',';
    }
    await this.#write(']}\n');
  }

  async #write(text: string): Promise<void> {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain');
  }
}

const HEADINGS = ['UID', 'STATUS', 'FILES', 'SIZE', 'ON DISK', 'CREATED (UTC)', 'LAST USED (UTC)', 'MESSAGE'];

function row(cart: Cart): string[] {
  return [
    cart.uid,
    cart.status,
    cart.filesReady === cart.filesTotal ? String(cart.filesTotal) : `${cart.filesReady} of ${cart.filesTotal}`,
    formatSize(cart.bytesReady),
    formatSize(cart.occupied),
    (time(cart.created) ?? '').slice(0, 19).replace('T', ' '),
    (time(cart.used) ?? '').slice(0, 19).replace('T', ' '),
    cart.message,
  ];
}

function time(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

import { Flags } from '../../cli/oclif.js';
import { AdminCommand } from '../../cli/admin-command.js';
import { progressFlag } from '../../cli/client-flags.js';
import { paragraphs } from '../../cli/text.js';
import { parseDuration } from '../../lib/duration.js';

export default class CartPurge extends AdminCommand {
  static override summary = 'Delete carts that nobody has used for long';
  static override description =
    paragraphs(`On the server; safe from cron beside a running daemon. Prints the uids. A cart's age counts from its last
download, else from when it became ready. Carts that are being downloaded or worked on are left alone.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --time-ago "1.5 weeks ago" --dry-run',
  ];
  static override flags = {
    ...AdminCommand.flags,
    'time-ago': Flags.string({
      summary: 'Age from which on carts go: seconds, minutes, hours, days or weeks, with fractions',
      default: '180 days ago',
      helpValue: '"60 days ago"',
    }),
    'dry-run': Flags.boolean({ char: 'n', summary: 'Only say which carts would go' }),
    ...progressFlag,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { flags } = await this.parse(CartPurge);
    const age = parseDuration(flags['time-ago']);
    const dryRun = flags['dry-run'];
    await this.administer('cart', flags, ({ carts }) =>
      this.purge(
        'carts',
        carts.purge(age, dryRun),
        ({ occupied }) => occupied,
        ({ id, uid }) => {
          if (flags.json) this.printJson({ id, uid, purged: !dryRun });
          else this.print(`${uid}\n`);
        },
      ),
    );
  }
}

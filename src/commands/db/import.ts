import { Flags } from '../../cli/oclif.js';
import { BaseCommand } from '../../cli/base-command.js';
import { importFrom } from '../../cli/import-originals.js';
import { dataDirFlag, dataDirSetting } from '../../cli/serve-flags.js';
import { paragraphs } from '../../cli/text.js';

export default class DbImport extends BaseCommand {
  static override summary = 'Take over what an original Pacifica service has in its database';
  static override description =
    paragraphs(`From cartd the carts that are ready, whose files must lie in [cartd] volume_path; from ingest how its jobs
ended; from uniqueid its counters. Nothing is changed in the original's database. It may be run again: what is here stays,
what came since is added. What can not be taken over is told on stderr.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --service uniqueid --from postgresql://user@host/uniqueid --dry-run',
    '<%= config.bin %> <%= command.id %> --service cartd --from sqliteext:///db.sqlite3',
  ];
  static override flags = {
    from: Flags.string({ summary: "The original's peewee_url", required: true, helpValue: 'URL' }),
    service: Flags.option({
      options: ['cartd', 'ingest', 'uniqueid'] as const,
      summary: 'The service whose database it is',
      required: true,
      helpValue: 'NAME',
    })(),
    'dry-run': Flags.boolean({ char: 'n', summary: 'Only tell what would be taken over' }),
    ...dataDirFlag,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(DbImport);
    const ours = { cartd: 'cart', ingest: 'ingest', uniqueid: undefined } as const;
    const config = await this.configuration(flags, dataDirSetting, ours[flags.service]);
    const dryRun = flags['dry-run'];
    const { imported, present, leftOut } = await importFrom(
      config,
      flags.service,
      flags.from,
      { dryRun, onLeftOut: (reason) => this.warning(`left out ${reason}`) },
      this.patience,
    );
    if (flags.json) this.printJson({ imported, present, left_out: leftOut, dry_run: dryRun });
    else
      this.print(`${dryRun ? 'would take' : 'took'} over ${imported}, ${present} here already, ${leftOut} left out\n`);
  }
}

import { BaseCommand } from '../../cli/base-command.js';
import { dataDirFlag, dataDirSetting } from '../../cli/serve-flags.js';
import { withDatabase } from '../../cli/with-database.js';
import { syncSchema } from '../../storage/database/schema.js';

export default class DbSync extends BaseCommand {
  static override summary = "Bring the database's schema up to date";
  static override description = `Runs the migrations that wait, all or none. Running it twice does no harm.
A database of a newer pacifica, or of an original Pacifica service, is refused.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data-dir /srv/pacifica',
  ];
  static override flags = dataDirFlag;

  async run(): Promise<void> {
    const { flags } = await this.parse(DbSync);
    const config = await this.configuration(flags, dataDirSetting);
    const migrations = await withDatabase(config, syncSchema, { patience: this.patience });
    if (flags.json) this.printJson({ migrations });
    else this.print(migrations.length === 0 ? 'The schema was up to date.\n' : `Ran ${migrations.join(', ')}.\n`);
  }
}

import { Flags } from '../../cli/oclif.js';
import { BaseCommand } from '../../cli/base-command.js';
import { EXIT } from '../../cli/exit-codes.js';
import { dataDirFlag, dataDirSetting } from '../../cli/serve-flags.js';
import { schemaState } from '../../storage/database/schema.js';
import { withDatabase } from '../../cli/with-database.js';

const SENTENCE = {
  current: 'The schema fits.',
  empty: 'The database is empty: run "pacifica db sync", or start a daemon.',
  behind: 'The schema is older than this program: run "pacifica db sync".',
  ahead: 'The schema is newer than this program: run the newer program.',
  foreign: 'The database holds the tables of an original Pacifica service: give pacifica one of its own.',
};

export default class DbCheck extends BaseCommand {
  static override summary = "Check the database's schema";
  static override description = `Ends with 0 when this program can work with the schema, else with 1. It changes nothing.
A daemon brings an empty database up by itself, so empty passes, except with --equal.
A database file that is not there ends with 3.`;
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --equal'];
  static override flags = {
    ...dataDirFlag,
    equal: Flags.boolean({ summary: 'Demand that every migration has run' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(DbCheck);
    const config = await this.configuration(flags, dataDirSetting);
    const { state, pending, unknown } = await withDatabase(config, schemaState, {
      create: false,
      patience: this.patience,
    });
    if (flags.json) this.printJson({ state, pending, unknown });
    else this.print(`${SENTENCE[state]}\n`);
    const fits = state === 'current' || (state === 'empty' && !flags.equal);
    if (!fits) this.exit(EXIT.failed);
  }
}

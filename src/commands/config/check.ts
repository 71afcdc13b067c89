import { askDatabase, askQueue, askServices } from '../../cli/checks.js';
import { ClientCommand } from '../../cli/client-command.js';
import { exitCodeOfAll } from '../../cli/exit-codes.js';
import { configurationFlags, dataDirSetting } from '../../cli/serve-flags.js';
import { paragraphs, printable } from '../../cli/text.js';
import { unreadKeys } from '../../config/check.js';
import { readConfig } from '../../config/load.js';
import { PacificaError } from '../../lib/errors.js';
import { maskSecrets } from '../../lib/mask-secrets.js';

export default class ConfigCheck extends ClientCommand {
  static override summary = 'Look for mistakes in the configuration';
  static override description =
    paragraphs(`Names every key that there is not, every value that is not valid, and every database and service that does
not answer. Keys that only the original services had are told, and are no mistakes. Ends with 2 for mistakes, with 5 when
something does not answer, with 1 for both.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --config site.ini',
    '<%= config.bin %> <%= command.id %> --service proxy --cp-config cherrypy.conf --json',
  ];
  static override flags = configurationFlags;

  async run(): Promise<void> {
    const { flags } = await this.parse(ConfigCheck);
    const reading = await readConfig(this.configSources(flags, dataDirSetting, flags.service));
    const tell = (problem: string, message: string, hint?: string): void => {
      if (flags.json) this.printJson({ problem, message: maskSecrets(message), hint: hint ?? null });
      else
        this.print(
          printable(`${problem.padEnd(11)}  ${maskSecrets(message)}${hint === undefined ? '' : `: ${hint}`}`) + '\n',
        );
    };
    const errors: unknown[] = [];
    for (const error of reading.errors) {
      tell('bad value', error.message, error.hint);
      errors.push(error);
    }
    for (const { kind, message, hint } of unreadKeys(reading.files, process.env)) {
      tell(kind, message, hint);
      if (kind === 'unknown') errors.push(new PacificaError('invalid', message));
    }
    const services = await askServices(reading, this.signal);
    const { database, jobs } = reading.config;
    const servers = [await askDatabase(database.url), await askQueue(jobs.url)].filter((found) => found !== undefined);
    for (const { ok, check, message, remedy, error } of [...servers, ...services]) {
      if (ok) continue;
      tell('unreachable', `${check}: ${message}`, remedy);
      errors.push(error);
    }
    if (errors.length > 0) this.exit(exitCodeOfAll(errors));
    if (!flags.json) this.print('No mistakes found.\n');
  }
}

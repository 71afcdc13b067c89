import { once } from 'node:events';
import { ClientCommand } from '../../cli/client-command.js';
import { dataDirFlag, dataDirSetting } from '../../cli/serve-flags.js';
import { paragraphs } from '../../cli/text.js';
import { PacificaError } from '../../lib/errors.js';
import { canList } from '../../storage/backends/backend.js';
import { openStorage } from '../../wiring.js';

export default class ArchiveList extends ClientCommand {
  static override summary = 'List the ids of all files of the archive on this machine';
  static override description =
    paragraphs(`Looks into the storage itself: run it on the archive's own machine, with its configuration. Over HTTP nobody can
list an archive. The ids come in no order; a file that comes or goes meanwhile may be among them or not.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> | wc -l',
    '<%= config.bin %> <%= command.id %> | <%= config.bin %> archive status --from-file - --json',
  ];
  static override flags = dataDirFlag;

  async run(): Promise<void> {
    const { flags } = await this.parse(ArchiveList);
    const backend = openStorage(await this.configuration(flags, dataDirSetting));
    if (!canList(backend)) {
      throw new PacificaError('invalid', `the storage ${backend.url} can not tell which files it has`);
    }
    for await (const id of backend.list()) {
      this.signal.throwIfAborted();
      const line = flags.json ? JSON.stringify({ id }) : id;
      if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain', { signal: this.signal });
    }
  }
}

import { Flags } from '../../cli/oclif.js';
import { ServeCommand } from '../../cli/serve-command.js';
import { fileUrl } from '../../lib/file-url.js';
import { PacificaError } from '../../lib/errors.js';

export default class ArchiveServe extends ServeCommand {
  static override summary = 'Run the archive interface';
  static override description = `Keeps files under an id on the storage that [archive] storage names, and verifies them where
[archiveinterface] verify_schedule says when.
It runs until SIGTERM or Ctrl-C, and then lets running requests finish.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --type posix --prefix /srv/archive --port 0 --json',
  ];
  static override flags = {
    ...ServeCommand.flags,
    type: Flags.string({ char: 't', summary: 'Kind of storage', env: 'PAI_BACKEND_TYPE', helpValue: 'posix' }),
    prefix: Flags.string({ summary: 'Folder of the archive', env: 'PAI_PREFIX', helpValue: 'PATH' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(ArchiveServe);
    const { type = 'posix', prefix } = flags;
    if (type !== 'posix') {
      throw new PacificaError('invalid', `--type ${type} is not known`, { hint: 'use posix' });
    }
    const storage = prefix === undefined ? undefined : fileUrl(type, prefix);
    await this.serve('archive', { ...flags, storage }, { works: ['verify'], settings: { storage: 'archive.storage' } });
  }
}

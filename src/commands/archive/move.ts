import { Args } from '../../cli/oclif.js';
import { archiveUrl } from '../../cli/client-flags.js';
import { ClientCommand } from '../../cli/client-command.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { retrying } from '../../client/http.js';
import { parseArchiveId } from '../../lib/archive-id.js';

export default class ArchiveMove extends ClientCommand {
  static override summary = "Take in a file that lies on the archive's machine";
  static override description = paragraphs(
    `The file is gone from PATH afterwards. The site decides from which folders files may be taken (7 when it may not).`,
  );
  static override examples = ['<%= config.bin %> <%= command.id %> 12345 /srv/incoming/foo.txt'];
  static override args = {
    id: Args.string({ description: 'Id to keep it under', required: true, ignoreStdin: true }),
    path: Args.string({ description: "Where it lies on the archive's machine", required: true, ignoreStdin: true }),
  };
  static override flags = { ...archiveUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveMove);
    const { archive } = await this.clientConfig(flags);
    const id = parseArchiveId(args.id);
    const client = new ArchiveClient(archive.url);
    await retrying(() => client.move(id, args.path, { signal: this.signal }), { signal: this.signal });
    if (flags.json) this.printJson({ id, path: args.path, moved: true });
    else this.print(`moved ${args.path} to file ${id}\n`);
  }
}

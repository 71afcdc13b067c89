import { Args, Flags } from '../../cli/oclif.js';
import { ingestUrl, progressFlag } from '../../cli/client-flags.js';
import { IngestCommand } from '../../cli/ingest-command.js';
import { readJson } from '../../cli/read-input.js';
import { paragraphs } from '../../cli/text.js';
import { IngestClient } from '../../client/ingest-client.js';

export default class IngestMove extends IngestCommand {
  static override summary = 'Ingest files that lie on the server already';
  static override description =
    paragraphs(`Prints the number of the job. METADATA.json is the metadata of a bundle, in which each file has its path on
the server under "source". The files are moved, not copied.`);
  static override examples = ['<%= config.bin %> <%= command.id %> metadata.json --wait'];
  static override args = {
    metadata: Args.string({ description: 'Metadata; - reads standard input', required: true, ignoreStdin: true }),
  };
  static override flags = {
    wait: Flags.boolean({ char: 'w', summary: 'Wait until all is safe' }),
    ...progressFlag,
    ...ingestUrl,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(IngestMove);
    const { ingest } = await this.clientConfig(flags);
    const metadata = JSON.stringify(await readJson(args.metadata, this.signal));
    const client = new IngestClient(ingest.url, { signal: this.signal });
    await this.follow(client, await client.move(metadata), flags);
  }
}

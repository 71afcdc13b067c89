import { Args } from '@oclif/core';
import { archiveUrl, outputFlag, progressFlag } from '../../cli/client-flags.js';
import { DownloadCommand } from '../../cli/download-command.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { parseArchiveId } from '../../lib/archive-id.js';
import { parseDigestField } from '../../lib/digest-field.js';

export default class ArchiveGet extends DownloadCommand {
  static override summary = 'Get a file from the archive';
  static override description =
    paragraphs(`FILE appears when every byte is there, with the time that the archive has for it, and checked against the hash
when the archive gives one (6 when it does not match). A connection that breaks is taken up again.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> 12345 --output foo.txt',
    '<%= config.bin %> <%= command.id %> 12345 | sha1sum',
  ];
  static override args = { id: Args.string({ description: 'Id of the file', required: true, ignoreStdin: true }) };
  static override flags = { ...outputFlag, ...progressFlag, ...archiveUrl };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveGet);
    const { archive } = await this.clientConfig(flags);
    const id = parseArchiveId(args.id);
    const client = new ArchiveClient(archive.url);
    await this.download(flags, {
      what: `file ${id}`,
      fetch: (rest) => client.get(id, { rest, signal: this.signal }),
      expected: (download) => parseDigestField(download.header('repr-digest')),
      keepTime: true,
    });
  }
}

import { Args, Flags } from '@oclif/core';
import { archiveUrl, progressFlag } from '../../cli/client-flags.js';
import { ClientCommand } from '../../cli/client-command.js';
import { type Progress, startProgress } from '../../cli/progress.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { retrying } from '../../client/http.js';
import { reach } from '../../client/reach.js';
import { factsOf, SteadyFile } from '../../client/steady-file.js';
import { type ArchiveId, parseArchiveId } from '../../lib/archive-id.js';
import { hashReader } from '../../lib/digest.js';
import { readChunks } from '../../lib/random-reader.js';
import { formatSize } from '../../lib/sizes.js';

export default class ArchivePut extends ClientCommand {
  static override summary = 'Store a file in the archive';
  static override description =
    paragraphs(`The archive checks length and hash of what arrives, and keeps the file's time.
A file that is there already under the id is replaced, unless the archive is write-once (7).`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> foo.txt --id 12345',
    'cat foo.txt | <%= config.bin %> <%= command.id %> - --id 12345',
  ];
  static override args = {
    file: Args.string({ description: 'File to store; - reads standard input', required: true, ignoreStdin: true }),
  };
  static override flags = {
    id: Flags.string({ summary: 'Id to store it under', required: true, helpValue: 'ID' }),
    ...progressFlag,
    ...archiveUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchivePut);
    const { archive } = await this.clientConfig(flags);
    const id = parseArchiveId(flags.id);
    const client = new ArchiveClient(archive.url);
    const size =
      args.file === '-' ? await this.#putStdin(client, archive.url, id) : await this.#putFile(client, id, args.file);
    if (flags.json) this.printJson({ id, size });
    else this.print(`stored ${formatSize(size)} as file ${id}\n`);
  }

  async #putFile(client: ArchiveClient, id: ArchiveId, path: string): Promise<number> {
    const facts = factsOf(path);
    const file = SteadyFile.open(path, facts);
    const progress = startProgress(path, { bytes: facts.size });
    try {
      const sum = await hashReader(file, 'sha256', { signal: this.signal });
      const { size } = await retrying(
        () => {
          progress.start(0);
          return client.put(id, counted(readChunks(file), progress), {
            ...facts,
            digest: { type: 'sha256', sum },
            signal: this.signal,
          });
        },
        { signal: this.signal },
      );
      return size;
    } finally {
      progress.stop();
      await file.close();
    }
  }

  async #putStdin(client: ArchiveClient, url: string, id: ArchiveId): Promise<number> {
    // what is read from a pipe can not be read again for a second try
    await reach('the archive', url, this.signal);
    const progress = startProgress('standard input');
    try {
      const chunks = process.stdin as AsyncIterable<Uint8Array>;
      return (await client.put(id, counted(chunks, progress), { signal: this.signal })).size;
    } finally {
      progress.stop();
    }
  }
}

async function* counted(chunks: AsyncIterable<Uint8Array>, progress: Progress): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk;
    progress.add(chunk.length);
  }
}

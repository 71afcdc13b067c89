import { once } from 'node:events';
import { Flags } from '../../cli/oclif.js';
import { ClientCommand } from '../../cli/client-command.js';
import { catalogUrl } from '../../cli/client-flags.js';
import { paragraphs, printable } from '../../cli/text.js';
import { CatalogClient } from '../../client/catalog-client.js';
import { hashOfLength, normalizeHash } from '../../lib/digest.js';
import { PacificaError } from '../../lib/errors.js';

export default class CatalogFind extends ClientCommand {
  static override summary = 'Find files by what metadata says of them';
  static override description =
    paragraphs(`Prints a line for each file, newest first: its id, size in bytes, hash and path, with tabs between. All that is given must match;
with nothing given all files are listed. With --json each line is what "pacifica cart create --from -" takes.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> --transaction 1234',
    "<%= config.bin %> <%= command.id %> --name '*.raw' --key-value 'Temp C=27'",
    "<%= config.bin %> <%= command.id %> --name '*.raw' --json | <%= config.bin %> cart create --from -",
  ];
  static override flags = {
    hash: Flags.string({ summary: 'Hash in hex; its length tells the type, or sha1:... does', helpValue: 'HASH' }),
    name: Flags.string({ summary: 'Pattern of the name: * is any text, ? one character', helpValue: 'GLOB' }),
    transaction: Flags.integer({ char: 't', summary: 'Id of the job that brought it', min: 0, helpValue: 'N' }),
    'key-value': Flags.string({
      char: 'k',
      summary: 'Key/value of the file or of its transaction',
      helpValue: 'KEY=VALUE',
    }),
    ...catalogUrl,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(CatalogFind);
    const { catalog } = await this.clientConfig(flags);
    const hash = flags.hash === undefined ? undefined : readHash(flags.hash);
    const pair = flags['key-value'] === undefined ? undefined : readPair(flags['key-value']);
    const client = new CatalogClient(catalog.url, { signal: this.signal });
    const query = {
      hashtype: hash?.type,
      hashsum: hash?.sum,
      name_glob: flags.name,
      transaction: flags.transaction,
      ...pair,
    };
    for await (const files of client.files(query)) {
      const lines = files.map((file) =>
        flags.json
          ? JSON.stringify(file)
          : [file.id, file.size, `${file.hashtype}:${file.hashsum}`, printable(file.path)].join('\t'),
      );
      const text = lines.map((line) => `${line}\n`).join('');
      if (!process.stdout.write(text)) await once(process.stdout, 'drain', { signal: this.signal });
    }
  }
}

function readHash(text: string): { type: string; sum: string } {
  const colon = text.indexOf(':');
  return normalizeHash(colon === -1 ? hashOfLength(text.trim().length) : text.slice(0, colon), text);
}

function readPair(text: string): { key: string; value: string } {
  const equals = text.indexOf('=');
  if (equals > 0) return { key: text.slice(0, equals), value: text.slice(equals + 1) };
  throw new PacificaError('invalid', `--key-value ${JSON.stringify(text)} is not valid`, {
    hint: "write it like --key-value 'Temp C=27'",
  });
}

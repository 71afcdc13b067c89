import { Args, Flags } from '@oclif/core';
import { ingestUrl, progressFlag } from '../../cli/client-flags.js';
import { IngestCommand } from '../../cli/ingest-command.js';
import { startProgress } from '../../cli/progress.js';
import { paragraphs } from '../../cli/text.js';
import { type Bundle, prepareBundle } from '../../client/bundle.js';
import { IngestClient } from '../../client/ingest-client.js';
import { readyBundle } from '../../client/ready-bundle.js';
import { PacificaError } from '../../lib/errors.js';

interface UploadFlags {
  readonly project?: string;
  readonly instrument?: string;
  readonly submitter?: string;
  readonly 'key-value'?: string[];
}

export default class IngestUpload extends IngestCommand {
  static override summary = 'Send files and folders into the archive';
  static override description =
    paragraphs(`Prints the number of the job. Files get the paths that tar would give them: tree/sub/f is tree/sub/f.
Symbolic links in folders are left out. Nothing is written on this machine: the bundle is made while it is sent,
and each file is read once. A single bundle that is a tar already, with a metadata.txt, is sent as it is when
--project, --instrument and --submitter are left out.
With --wait it ends with 0 when all is safe, 1 when the job failed, 6 because of a wrong hash, 7 because of policy.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> run-7 notes.txt --project 1234a --instrument 54 --submitter 10 --wait',
    '<%= config.bin %> <%= command.id %> run-7 -p 1234a -i 54 -s 10 --key-value "Temp C=27"',
    '<%= config.bin %> <%= command.id %> bundle.tar',
  ];
  static override args = {
    path: Args.string({ description: 'File or folder', required: true, multiple: true, ignoreStdin: true }),
  };
  static override flags = {
    project: Flags.string({ char: 'p', summary: 'Project that the files belong to', helpValue: 'P' }),
    instrument: Flags.string({ char: 'i', summary: 'Instrument that made them', helpValue: 'I' }),
    submitter: Flags.string({ char: 's', summary: 'Person who sends them', helpValue: 'S' }),
    'key-value': Flags.string({
      char: 'k',
      summary: 'A fact about the whole; may be given many times',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'K=V',
    }),
    wait: Flags.boolean({ char: 'w', summary: 'Wait until all is safe' }),
    ...progressFlag,
    ...ingestUrl,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(IngestUpload);
    const { ingest } = await this.clientConfig(flags);
    const bundle = await this.#bundle(args.path, flags);
    const client = new IngestClient(ingest.url, { signal: this.signal });
    const what = bundle.files === undefined ? 'bundle' : `${bundle.files} files`;
    const progress = startProgress(`sending ${what}`, { bytes: bundle.size });
    let job;
    try {
      job = await client.upload(bundle, (bytes) => progress.add(bytes));
    } finally {
      progress.stop();
    }
    await this.follow(client, job, flags);
  }

  async #bundle(paths: readonly string[], flags: UploadFlags): Promise<Bundle> {
    const { project, instrument, submitter } = flags;
    const keyValues = (flags['key-value'] ?? []).map(parseKeyValue);
    const [path = ''] = paths;
    const bare = project === undefined && instrument === undefined && submitter === undefined;
    if (bare && keyValues.length === 0 && paths.length === 1 && path.endsWith('.tar')) return readyBundle(path);
    if (project === undefined || instrument === undefined || submitter === undefined) {
      throw new PacificaError('invalid', 'a bundle needs --project, --instrument and --submitter', {
        hint: 'only a single .tar that has its own metadata.txt goes without',
      });
    }
    const onSkipped = (skipped: string, what: string): void => this.warning(`${skipped} is ${what}, left out`);
    return prepareBundle(paths, { project, instrument, submitter, keyValues }, { onSkipped, signal: this.signal });
  }
}

function parseKeyValue(text: string): [string, string] {
  const sign = text.indexOf('=');
  if (sign > 0) return [text.slice(0, sign), text.slice(sign + 1)];
  throw new PacificaError('invalid', `--key-value ${JSON.stringify(text)} is not K=V`);
}

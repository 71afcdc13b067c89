import { randomUUID } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { Args, Flags } from '../../cli/oclif.js';
import { ingestUrl, progressFlag } from '../../cli/client-flags.js';
import { IngestCommand } from '../../cli/ingest-command.js';
import { startProgress } from '../../cli/progress.js';
import { OutputFile } from '../../cli/output-file.js';
import { readJson } from '../../cli/read-input.js';
import { paragraphs } from '../../cli/text.js';
import { type Bundle, prepareBundle, type PreparedBundle } from '../../client/bundle.js';
import type { WalkOptions } from '../../client/bundle-walk.js';
import { excluder } from '../../client/exclude.js';
import { type Begun, IngestClient, uploadOnce } from '../../client/ingest-client.js';
import { readyBundle, savedBundle } from '../../client/ready-bundle.js';
import { PacificaError } from '../../lib/errors.js';

interface UploadFlags {
  readonly project?: string;
  readonly instrument?: string;
  readonly submitter?: string;
  readonly 'key-value'?: string[];
  readonly metadata?: string;
  readonly exclude?: string[];
  readonly 'follow-links': boolean;
}

export default class IngestUpload extends IngestCommand {
  static override summary = 'Send files and folders into the archive';
  static override description =
    paragraphs(`Prints the number of the job. Files get the paths that tar would give them; a tar with a metadata.txt is sent
as it is. The same files (path, size, time) with the same metadata are ingested once in 30 days: a second run prints the
number of the first one's job. In a PATTERN * is anything within a name, ** anything. With --wait it ends with 0 when all
is safe, 1 when the job failed, 6 because of a wrong hash, 7 because of policy.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> run-7 notes.txt -p 1234a -i 54 -s 10 -k "Temp C=27" -x "*.tmp" --wait',
    '<%= config.bin %> <%= command.id %> run-7 -p 1234a -i 54 -s 10 --dry-run > metadata.json',
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
    metadata: Flags.string({
      summary: 'Ready metadata, as in metadata.txt, with or without Files; - for stdin',
      exclusive: ['project', 'instrument', 'submitter', 'key-value'],
      helpValue: 'FILE',
    }),
    exclude: Flags.string({
      char: 'x',
      summary: 'Leave out what has such a name or path; may be given many times',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'PATTERN',
    }),
    'follow-links': Flags.boolean({ char: 'L', summary: 'Send what symbolic links in folders name' }),
    'dry-run': Flags.boolean({
      char: 'n',
      summary: 'Send nothing: print the metadata, with the hashes of the files',
      exclusive: ['save', 'wait', 'again'],
    }),
    save: Flags.string({ summary: 'Keep the bundle in this file; it is sent when it is whole', helpValue: 'FILE' }),
    again: Flags.boolean({ summary: 'Begin a new job, also when these files were ingested before' }),
    wait: Flags.boolean({ char: 'w', summary: 'Wait until all is safe' }),
    ...progressFlag,
    ...ingestUrl,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(IngestUpload);
    const { ingest } = await this.clientConfig(flags);
    const prepared = await this.#bundle(args.path, flags);
    if (flags['dry-run']) return this.#show(prepared);
    const bundle = flags.save === undefined ? prepared : await this.#save(prepared, flags.save);
    const client = new IngestClient(ingest.url, { signal: this.signal });
    const key = flags.again ? randomUUID() : bundle.key;
    const { job, replayed } = await uploadOnce(client, () => this.#send(client, bundle, key), { signal: this.signal });
    if (replayed) this.warning(`job ${job.job_id} has these files already, nothing was sent; --again begins a new job`);
    await this.follow(client, job, flags);
  }

  async #send(client: IngestClient, bundle: Bundle, key: string): Promise<Begun> {
    const progress = startProgress(`sending ${whatOf(bundle)}`, { bytes: bundle.size });
    try {
      return await client.upload(bundle, { key, onBytes: (bytes) => progress.add(bytes) });
    } finally {
      progress.stop();
    }
  }

  async #show(bundle: Bundle | PreparedBundle): Promise<void> {
    if (!('metadata' in bundle)) {
      throw new PacificaError('invalid', 'the bundle has its metadata already', {
        hint: 'tar -xOf BUNDLE metadata.txt shows it',
      });
    }
    await pipeline(bundle.metadata(), process.stdout, { end: false, signal: this.signal });
  }

  /** Writes the bundle to a file, from which it is sent then. */
  async #save(bundle: Bundle, target: string): Promise<Bundle> {
    const file = await OutputFile.open(target, undefined);
    const progress = startProgress(`saving ${whatOf(bundle)}`, { bytes: bundle.size });
    try {
      for await (const piece of bundle.stream()) {
        this.signal.throwIfAborted();
        // the stream uses its buffer again
        await file.write(Buffer.from(piece));
        progress.add(piece.length);
      }
      await file.commit();
    } catch (error) {
      await file.discard();
      throw error;
    } finally {
      progress.stop();
    }
    return savedBundle(file.path, bundle);
  }

  async #bundle(paths: readonly string[], flags: UploadFlags): Promise<Bundle | PreparedBundle> {
    const { project, instrument, submitter, metadata } = flags;
    const keyValues = (flags['key-value'] ?? []).map(parseKeyValue);
    const [path = ''] = paths;
    const said = [project, instrument, submitter, metadata].some((fact) => fact !== undefined) || keyValues.length > 0;
    if (!said && paths.length === 1 && path.endsWith('.tar')) return readyBundle(path);
    const options: WalkOptions = {
      exclude: excluder(flags.exclude ?? []),
      followLinks: flags['follow-links'],
      onSkipped: (skipped, what) => this.warning(`${skipped} is ${what}, left out`),
      signal: this.signal,
    };
    if (metadata !== undefined) {
      const name = metadata === '-' ? 'standard input' : metadata;
      const entries = parseMetadata(await readJson(metadata, this.signal), name);
      return prepareBundle(paths, { name, entries }, options);
    }
    if (project === undefined || instrument === undefined || submitter === undefined) {
      throw new PacificaError('invalid', 'a bundle needs --project, --instrument and --submitter, or --metadata', {
        hint: 'only a single .tar that has its own metadata.txt goes without',
      });
    }
    return prepareBundle(paths, { project, instrument, submitter, keyValues }, options);
  }
}

function whatOf({ files }: Bundle): string {
  return files === undefined ? 'bundle' : `${files} files`;
}

function parseMetadata(document: unknown, name: string): object[] {
  const isObject = (entry: unknown): entry is object => typeof entry === 'object' && entry !== null;
  if (Array.isArray(document) && document.every(isObject)) return document;
  throw new PacificaError('invalid', `${name} is not a list of objects`, {
    hint: 'it is like [{"destinationTable": "Transactions.submitter", "value": 10}, ...]',
  });
}

function parseKeyValue(text: string): [string, string] {
  const sign = text.indexOf('=');
  if (sign > 0) return [text.slice(0, sign), text.slice(sign + 1)];
  throw new PacificaError('invalid', `--key-value ${JSON.stringify(text)} is not K=V`);
}

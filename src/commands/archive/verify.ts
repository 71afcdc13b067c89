import { Flags } from '../../cli/oclif.js';
import type { VerifyOptions, VerifyResult } from '../../archive/verify.js';
import { everyFile, parseSelection } from '../../archive/verify-selection.js';
import { ClientCommand } from '../../cli/client-command.js';
import { progressFlag } from '../../cli/client-flags.js';
import { EXIT } from '../../cli/exit-codes.js';
import { givenIds, idArgs, idFlags } from '../../cli/id-list.js';
import { dataDirFlag, dataDirSetting } from '../../cli/serve-flags.js';
import { paragraphs, table } from '../../cli/text.js';
import { VerifyReport } from '../../cli/verify-report.js';
import { withDatabase } from '../../cli/with-database.js';
import type { Config } from '../../config/load.js';
import { parseDuration } from '../../lib/duration.js';
import { PacificaError } from '../../lib/errors.js';
import { formatSize, parseSize } from '../../lib/sizes.js';
import { type VerifyRun, VerifyRuns } from '../../storage/database/archive-verify.js';
import { requireSchema } from '../../storage/database/schema.js';

type VerifyLimits = Pick<VerifyOptions, 'deadline' | 'rate' | 'adopt'>;

interface VerifyFlags {
  readonly all: boolean;
  readonly subset?: string;
  readonly resume: boolean;
  readonly 'time-limit'?: string;
  readonly rate?: string;
  readonly adopt: boolean;
  readonly json: boolean;
}

export default class ArchiveVerify extends ClientCommand {
  static override summary = 'Read archived files back and compare them with what was recorded';
  static override description =
    paragraphs(`Run it on the archive's own machine, with its configuration; the archive may be in use. Each file that is not as
recorded is a line of JSON on standard output: id, path, and the reason (missing, size, digest, unreadable). A file
without a checksum on record is "unrecorded", which is no error. Ends with 6 when any file is damaged.

A run on all files or a subset is written down, so that --resume goes on where it stopped, also after Ctrl-C or a
crash. Without ids, --all and --subset nothing is read: it shows how the last runs ended and which files are damaged.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> 12345 12346',
    '<%= config.bin %> <%= command.id %> --all --resume --time-limit 2h --rate 200M',
    '<%= config.bin %> <%= command.id %> --subset $(date +%-d)/31',
  ];
  static override args = idArgs;
  static override flags = {
    all: Flags.boolean({ summary: 'Every file', exclusive: ['subset', 'from-file'] }),
    subset: Flags.string({
      summary: 'The third of 30 parts (3/30), or a random choice (5%, 500G)',
      helpValue: 'PART',
      exclusive: ['from-file'],
    }),
    resume: Flags.boolean({ summary: 'Go on where the last run of the same stopped' }),
    'time-limit': Flags.string({ summary: 'Begin no file after this time', helpValue: '2h' }),
    rate: Flags.string({ summary: 'Bytes a second at most', helpValue: '200M' }),
    adopt: Flags.boolean({ summary: 'Put a checksum of unrecorded files on record' }),
    ...idFlags,
    ...progressFlag,
    ...dataDirFlag,
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveVerify);
    const config = await this.configuration(flags, dataDirSetting);
    const ids = await givenIds(args, flags, this.signal);
    const selects = flags.all || flags.subset !== undefined || flags.resume;
    if (ids.length > 0 && selects) {
      throw new PacificaError('invalid', 'ids do not go together with --all, --subset and --resume');
    }
    const selection = flags.subset === undefined ? everyFile : parseSelection(flags.subset);
    const limits = this.#limits(flags, config);
    const failed = await withDatabase(
      config,
      async (database) => {
        await requireSchema(database);
        if (!selects && ids.length === 0 && flags['from-file'] === undefined) {
          return this.#showLast(new VerifyRuns(database), flags.json);
        }
        const { openVerifier } = await import('../../wiring.js');
        const verifier = openVerifier(config, database);
        return this.#verify(flags, limits, (more) =>
          selects ? verifier.selection(selection, { ...more, resume: flags.resume }) : verifier.ids(ids, more),
        );
      },
      { create: false, patience: this.patience },
    );
    if (failed) this.exit(EXIT.integrity);
  }

  #limits(flags: VerifyFlags, { archiveinterface: { digest } }: Config): VerifyLimits {
    const { 'time-limit': limit, rate, adopt } = flags;
    if (adopt && digest === 'none') {
      throw new PacificaError('invalid', '--adopt needs a checksum to take, and [archiveinterface] digest is none');
    }
    return {
      deadline: limit === undefined ? undefined : performance.now() + parseDuration(limit),
      rate: rate === undefined ? undefined : parseRate(rate),
      adopt: adopt && digest !== 'none' ? digest : undefined,
    };
  }

  /** @returns whether a file is damaged */
  async #verify(
    { json, subset, resume, all }: VerifyFlags,
    limits: VerifyLimits,
    verify: (options: VerifyOptions) => Promise<VerifyResult>,
  ): Promise<boolean> {
    const report = new VerifyReport({ json });
    const goOn =
      all || resume || subset !== undefined
        ? `"${this.config.bin} archive verify ${subset === undefined ? '--all' : `--subset ${subset}`} --resume" goes on from here`
        : undefined;
    try {
      const result = await verify({ ...limits, ...report.listeners, signal: this.signal });
      report.end(result, result.complete ? undefined : goOn);
      if (subset !== undefined && result.complete && result.files === 0) {
        this.warning(`no file is in the subset ${subset}: none was read`);
      }
      return result.damaged > 0;
    } catch (error) {
      report.end({ ...report.counts, complete: false });
      if (!this.signal.aborted) throw error;
      throw new PacificaError('aborted', 'interrupted', { hint: goOn, cause: error });
    }
  }

  /** @returns whether a file is known to be damaged */
  async #showLast(runs: VerifyRuns, json: boolean): Promise<boolean> {
    const [last, damage] = [await runs.all(), await runs.knownDamage()];
    if (json) {
      for (const run of last) this.printJson({ run: runOf(run) });
      for (const { found, ...file } of damage) this.printJson({ ...file, found: new Date(found).toISOString() });
      return damage.length > 0;
    }
    this.print('No file was asked for, so none was read.\n');
    if (last.length > 0) {
      const heads = ['SELECTION', 'LAST AT WORK (UTC)', 'STATE', 'FILES', 'READ', 'DAMAGED', 'UNRECORDED'];
      this.print(`\n${table(heads, last.map(rowOf))}`);
    }
    if (damage.length > 0) {
      const rows = damage.map(({ id, reason, found, detail }) => [id, reason, shortTime(found), detail]);
      this.print(`\n${table(['DAMAGED', 'REASON', 'FOUND (UTC)', 'DETAIL'], rows)}`);
    }
    return damage.length > 0;
  }
}

function parseRate(text: string): number {
  const rate = parseSize(text.replace(/\/s$/, ''));
  if (rate === 0) throw new PacificaError('invalid', '--rate 0 would never end');
  return rate;
}

function runOf({ started, updated, ended, ...run }: VerifyRun): Record<string, unknown> {
  const { selection, files, bytes, damaged, unrecorded, adopted } = run;
  const times = { started: new Date(started).toISOString(), updated: new Date(updated).toISOString() };
  return { selection, ...times, complete: ended !== null, files, bytes, damaged, unrecorded, adopted };
}

function rowOf({ selection, updated, ended, files, bytes, damaged, unrecorded }: VerifyRun): (string | number)[] {
  const state = ended === null ? 'not complete' : 'complete';
  return [selection, shortTime(updated), state, files, formatSize(bytes), damaged, unrecorded];
}

function shortTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

import { Flags } from '../../cli/oclif.js';
import { jobsFlag, progressFlag } from '../../cli/client-flags.js';
import { ClientCommand } from '../../cli/client-command.js';
import { exitCodeOf } from '../../cli/exit-codes.js';
import { startProgress } from '../../cli/progress.js';
import { paragraphs, printable } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import { ArchiveSelftest, type StepResult } from '../../client/archive-selftest.js';
import { parseSize } from '../../lib/sizes.js';

export default class ArchiveSelfTest extends ClientCommand {
  static override summary = 'Try an archive interface out: put, status, stage, get, move, delete';
  static override description =
    paragraphs(`For ours and for an original one, after it was set up or changed; it may be in use. Files are stored under random ids
from 2^62 on that nothing is under, and are removed at the end, also when a step fails or after Ctrl-C. A step that a rule
of the site forbids (move, or replacing on a write-once archive) is "refused", which is no failure.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --archive-url http://archive:8080 --large-file 10G',
  ];
  static override flags = {
    'archive-url': Flags.string({
      summary: 'Archive interface to try',
      env: 'ARCHIVE_URL',
      helpValue: 'URL',
    }),
    'large-file': Flags.string({
      summary: 'Size of the large file',
      env: 'LARGE_FILE_SIZE',
      default: '1G',
      helpValue: 'SIZE',
    }),
    'many-files': Flags.integer({
      summary: 'How many small files',
      env: 'MANY_FILES_TEST_COUNT',
      default: 1000,
      min: 0,
      helpValue: 'N',
    }),
    ...jobsFlag,
    ...progressFlag,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { flags } = await this.parse(ArchiveSelfTest);
    const { archive } = await this.clientConfig(flags);
    const failures: unknown[] = [];
    const progress = startProgress('selftest');
    const selftest = new ArchiveSelftest(new ArchiveClient(archive.url), {
      largeFileSize: parseSize(flags['large-file']),
      manyFiles: flags['many-files'],
      jobs: flags.jobs,
      signal: this.signal,
      onBytes: (bytes) => progress.add(bytes),
      onStep: (result) => {
        progress.wipe();
        if (result.outcome === 'failed') failures.push(result.error);
        this.#show(result, flags.json);
      },
    });
    try {
      await selftest.run();
    } finally {
      progress.stop();
      if (selftest.left.length > 0) this.warning(`still in the archive: ${selftest.left.join(', ')}`);
    }
    // the first one: what fails after it may be its consequence
    if (failures.length > 0) this.exit(exitCodeOf(failures[0]));
  }

  #show({ step, outcome, ms, reason }: StepResult, json: boolean): void {
    if (json) this.printJson({ step, outcome, ms, reason });
    else this.print(`${outcome.padEnd(8)} ${step} (${ms} ms)${reason === undefined ? '' : `: ${printable(reason)}`}\n`);
  }
}

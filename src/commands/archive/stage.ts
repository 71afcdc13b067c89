import { setTimeout as sleep } from 'node:timers/promises';
import { Flags } from '../../cli/oclif.js';
import { archiveUrl, jobsFlag, progressFlag } from '../../cli/client-flags.js';
import { ClientCommand } from '../../cli/client-command.js';
import { idArgs, idFlags, requireIds } from '../../cli/id-list.js';
import { startProgress } from '../../cli/progress.js';
import { paragraphs } from '../../cli/text.js';
import { ArchiveClient } from '../../client/archive-client.js';
import type { ArchiveId } from '../../lib/archive-id.js';
import { parseDuration } from '../../lib/duration.js';
import { PacificaError } from '../../lib/errors.js';

/** ms between two looks: tapes take minutes, so one that lasts is asked for less and less */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 60_000;

export default class ArchiveStage extends ClientCommand {
  static override summary = 'Ask for files to be brought to disk';
  static override description =
    paragraphs(`Returns when it is asked for; "archive status" shows what is on disk. With --wait it ends when all are, and with 4
when they are not after --timeout. When one of several fails, the others are asked for all the same.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %> 12345 12346',
    '<%= config.bin %> <%= command.id %> --from-file ids.txt --wait --timeout 2h',
  ];
  static override args = idArgs;
  static override flags = {
    wait: Flags.boolean({ char: 'w', summary: 'Wait until the files are on disk' }),
    timeout: Flags.string({ summary: 'Give the waiting up after this time', helpValue: '2h', dependsOn: ['wait'] }),
    ...idFlags,
    ...jobsFlag,
    ...progressFlag,
    ...archiveUrl,
  };

  protected override doesMore = true;

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ArchiveStage);
    const { archive } = await this.clientConfig(flags);
    const client = new ArchiveClient(archive.url);
    const deadline = flags.timeout === undefined ? Infinity : performance.now() + parseDuration(flags.timeout);
    const asked = new Set<ArchiveId>();
    const errors = await this.forEach(
      new Set(await requireIds(args, flags, this.signal)),
      flags.jobs,
      (id) => client.stage(id, this.signal),
      (id) => {
        asked.add(id);
        if (flags.wait) return;
        if (flags.json) this.printJson({ id, staged: true });
        else this.print(`asked for file ${id}\n`);
      },
    );
    if (flags.wait) errors.push(...(await this.#wait(client, asked, deadline, flags)));
    this.endWith(errors);
  }

  /**
   * @returns what became of those that can not be waited for
   * @throws PacificaError `not-ready` when the time is up
   */
  async #wait(
    client: ArchiveClient,
    waiting: Set<ArchiveId>,
    deadline: number,
    { jobs, json }: { jobs: number; json: boolean },
  ): Promise<Error[]> {
    const errors: Error[] = [];
    const progress = startProgress('on disk', { files: waiting.size });
    try {
      for (let pause = FIRST_PAUSE; waiting.size > 0; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
        const unseen = new Set(waiting);
        const failed = await this.forEach(
          [...waiting],
          jobs,
          (id) => client.status(id, this.signal),
          (id, { media }) => {
            unseen.delete(id);
            if (media !== 'disk') return;
            waiting.delete(id);
            progress.file();
            progress.wipe();
            if (json) this.printJson({ id, media });
            else this.print(`file ${id} is on disk\n`);
          },
        );
        errors.push(...failed);
        for (const id of unseen) waiting.delete(id);
        if (waiting.size === 0) break;
        if (performance.now() >= deadline) throw notReady(waiting.size);
        const rest = Math.min(pause, deadline - performance.now());
        await sleep(rest, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
      }
    } finally {
      progress.stop();
    }
    return errors;
  }
}

function notReady(count: number): PacificaError {
  return new PacificaError(
    'not-ready',
    `the time is up, ${count === 1 ? 'one file is' : `${count} files are`} not on disk yet`,
    {
      hint: 'they are still being brought: the same command waits on',
    },
  );
}

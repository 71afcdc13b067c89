import { Flags } from '../cli/oclif.js';
import { BaseCommand } from '../cli/base-command.js';
import { EXIT } from '../cli/exit-codes.js';
import { daemonFlags } from '../cli/serve-flags.js';
import { paragraphs } from '../cli/text.js';
import { unreadKeys } from '../config/check.js';
import { jobKinds } from '../lib/job-queue.js';

export default class Worker extends BaseCommand {
  static override summary = 'Run jobs only';
  static override description =
    paragraphs(`Takes jobs that daemons put on the queue: bundles to be archived, carts to be staged, an archive on this machine
to be verified, leftovers to be removed. It answers no requests.
Any number of workers may run, on one machine or on several: see docs/deployment.md for what these must share.
It runs until SIGTERM or Ctrl-C, and then hands its jobs back for others to take at once.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data-dir /srv/pacifica --admin-port 0 --json',
  ];
  static override flags = {
    ...daemonFlags,
    host: Flags.string({ summary: 'Address of the admin port', helpValue: 'HOST' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Worker);
    const { config, files } = await this.reading(flags, { 'data-dir': 'data.dir', host: 'serve.host' });
    const { runDaemon } = await import('../cli/run-daemon.js');
    await runDaemon({
      config,
      unread: unreadKeys(files, process.env),
      ports: new Map(),
      works: jobKinds,
      adminPort: flags['admin-port'],
      host: config.serve.host,
      insecure: flags.insecure,
      json: flags.json,
    });
    // all is closed; timers that libraries leave behind are no reason to stay
    this.exit(EXIT.done);
  }
}

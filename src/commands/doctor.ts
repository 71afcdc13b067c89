import { askServices, type Finding } from '../cli/checks.js';
import { ClientCommand } from '../cli/client-command.js';
import { EXIT } from '../cli/exit-codes.js';
import { configurationFlags, dataDirSetting } from '../cli/serve-flags.js';
import { paragraphs, printable } from '../cli/text.js';
import { maskSecrets } from '../lib/mask-secrets.js';

export default class Doctor extends ClientCommand {
  static override summary = 'Look whether everything that a daemon needs is well';
  static override description =
    paragraphs(`Looks at database, schema and job queue; writes, syncs and removes a small file in each folder; asks each
service that the configuration names; compares clocks. Says what to do where something is wrong, and then ends with 1.
Run it as the user of the daemons, on their machine.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --service cart --config site.ini --json',
  ];
  static override flags = configurationFlags;

  async run(): Promise<void> {
    const { flags } = await this.parse(Doctor);
    const reading = await this.reading(flags, dataDirSetting, flags.service);
    const { checkClock, checkDatabase, checkFolder, checkNode, checkOpenFiles, foldersOf } =
      await import('../cli/health.js');
    const ills: Finding[] = [];
    const tell = (findings: readonly Finding[]): void => {
      for (const finding of findings) {
        this.#tell(finding, flags.json);
        if (!finding.ok) ills.push(finding);
      }
    };
    tell([checkNode(), checkOpenFiles()]);
    const { findings, clock } = await checkDatabase(reading.config);
    tell(findings);
    const clocks = clock === undefined ? [] : [clock];
    for (const [folder, setting] of foldersOf(reading.config)) {
      this.signal.throwIfAborted();
      const seen = await checkFolder(folder, setting);
      tell([seen.finding]);
      if (seen.clock !== undefined) clocks.push(seen.clock);
    }
    const services = await askServices(reading, this.signal);
    tell(services);
    for (const { check, skewMs } of services) if (skewMs !== undefined) clocks.push({ name: check, skewMs });
    tell([checkClock(clocks)]);
    if (ills.length > 0) this.exit(EXIT.failed);
  }

  #tell({ check, ok, message, remedy }: Finding, json: boolean): void {
    const text = maskSecrets(message);
    if (json) return this.printJson({ check, ok, message: text, remedy: remedy ?? null });
    const what = remedy === undefined || ok ? '' : `. ${remedy.charAt(0).toUpperCase()}${remedy.slice(1)}`;
    this.print(`${ok ? 'ok  ' : 'FAIL'}  ${check.padEnd(26)}  ${printable(text + maskSecrets(what))}\n`);
  }
}

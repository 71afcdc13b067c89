import { Flags } from '../../cli/oclif.js';
import { BaseCommand } from '../../cli/base-command.js';
import { configurationFlags, dataDirSetting } from '../../cli/serve-flags.js';
import { paragraphs, table } from '../../cli/text.js';
import type { Entry } from '../../config/load.js';

export default class ConfigShow extends BaseCommand {
  static override summary = 'Show every setting as it works here';
  static override description =
    paragraphs(`Prints the configuration that a command would work with, in the form of the INI file; passwords are hidden.
With --service it is that of one service's daemon, which reads the variables and files of that original service alone.`);
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --origin --config site.ini',
    '<%= config.bin %> <%= command.id %> --service cart --json',
  ];
  static override flags = {
    origin: Flags.boolean({ summary: 'Show where each value comes from' }),
    ...configurationFlags,
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(ConfigShow);
    const { entries } = await this.reading(flags, dataDirSetting, flags.service);
    if (flags.json) {
      for (const { section, key, text, origin } of entries)
        this.printJson({ setting: `${section}.${key}`, value: text, origin });
    } else if (flags.origin) {
      const rows = entries.map(({ section, key, text, origin }) => [`${section}.${key}`, text, origin]);
      this.print(table(['SETTING', 'VALUE', 'FROM'], rows));
    } else this.print(iniFile(entries));
  }
}

function iniFile(entries: readonly Entry[]): string {
  let section: string | undefined;
  const lines: string[] = [];
  for (const entry of entries) {
    if (entry.section !== section) lines.push(...(section === undefined ? [] : ['']), `[${entry.section}]`);
    section = entry.section;
    lines.push(`${entry.key} = ${entry.text.replaceAll('%', '%%')}`.trimEnd());
  }
  return `${lines.join('\n')}\n`;
}

import { inspect } from 'node:util';
import { Command, Errors, Flags } from './oclif.js';
import { type LoadOptions, type Reading, readConfig, type Config, type SettingName } from '../config/load.js';
import type { ServiceName } from '../config/setting.js';
import { backoff, CLIENT_BUDGET, CLIENT_PAUSES } from '../lib/backoff.js';
import { PacificaError, systemCode, wrapSystemError } from '../lib/errors.js';
import { maskSecrets } from '../lib/mask-secrets.js';
import type { Patience } from '../lib/persist.js';
import { isGiven, renderError, renderJsonError, reportOf, type Switch, wantsColor } from './error-report.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { showProgressLines } from './progress.js';
import { printable } from './text.js';

/** What all commands share: `--config`, `--json`, `--debug`, how an error is shown, and which exit code it has. */
export abstract class BaseCommand extends Command {
  static override baseFlags = {
    config: Flags.string({
      char: 'c',
      summary: 'Configuration file (INI)',
      helpGroup: 'GLOBAL',
      helpValue: 'FILE',
    }),
    json: Flags.boolean({ summary: 'Print JSON: one line for each thing; errors too', helpGroup: 'GLOBAL' }),
    debug: Flags.boolean({ summary: 'Show causes of errors and every HTTP request on stderr', helpGroup: 'GLOBAL' }),
    'no-color': Flags.boolean({ summary: 'No colours, as with NO_COLOR', helpGroup: 'GLOBAL' }),
  };

  protected override async init(): Promise<void> {
    await super.init();
    // in place of oclif's, which throws: people would see a stack
    process.stdout.removeAllListeners('error');
    process.stdout.on('error', (error: Error) => this.stdoutFailed(error));
    // a terminal or log that went away is no reason to stop the work
    process.stderr.on('error', () => undefined);
    if (this.given('--progress')) showProgressLines();
  }

  /**
   * Reads the configuration.
   * @param flags the command's parsed flags; those named in `settings` overrule environment and file
   * @param settings which flag stands for which setting: `{ 'archive-url': 'archive.url' }`
   * @param service the one that the command is for
   * @throws PacificaError `invalid` for the first value that is not valid
   */
  protected async configuration(
    flags: Readonly<Record<string, unknown>>,
    settings: Readonly<Record<string, SettingName>> = {},
    service?: ServiceName,
  ): Promise<Config> {
    return (await this.reading(flags, settings, service)).config;
  }

  /** As {@link configuration}, with where everything came from. */
  protected async reading(
    flags: Readonly<Record<string, unknown>>,
    settings: Readonly<Record<string, SettingName>> = {},
    service?: ServiceName,
  ): Promise<Reading> {
    const reading = await readConfig(this.configSources(flags, settings, service));
    if (reading.errors[0] !== undefined) throw reading.errors[0];
    return reading;
  }

  /** Where the configuration comes from: the flags that stand for settings, `--config`, `--cp-config`, the environment. */
  protected configSources(
    flags: Readonly<Record<string, unknown>>,
    settings: Readonly<Record<string, SettingName>> = {},
    service?: ServiceName,
  ): LoadOptions {
    const given = Object.entries(settings).flatMap(([flag, name]) => {
      const value = flags[flag];
      return typeof value === 'string' || typeof value === 'number' ? [[name, String(value)] as const] : [];
    });
    const file = (flag: string): string | undefined => {
      const value = flags[flag];
      return typeof value === 'string' ? value : undefined;
    };
    return {
      flags: Object.fromEntries(given),
      flagNames: Object.fromEntries(Object.entries(settings).map(([flag, name]) => [name, flag])),
      configFile: file('config'),
      cherrypyFile: file('cp-config'),
      service,
      env: process.env,
    };
  }

  /**
   * How long the database and the queue are tried: what may pass for as long as clients try a service. A person is told,
   * once.
   */
  protected get patience(): Patience {
    const tells = process.stderr.isTTY || this.given('--debug');
    let told = false;
    return {
      attempts: Infinity,
      pause: (attempt) => backoff(attempt, CLIENT_PAUSES),
      budget: CLIENT_BUDGET,
      onWait: (reason) => {
        if (tells && !told) process.stderr.write(`${printable(reason)}; waiting up to ${CLIENT_BUDGET / 1000} s\n`);
        told = true;
      },
    };
  }

  /** Prints one line of JSON. */
  protected printJson(value: unknown): void {
    process.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** Prints text as it is. */
  protected print(text: string): void {
    process.stdout.write(text);
  }

  /** Tells about something that is left as it is. */
  protected warning(text: string): void {
    process.stderr.write(`Warning: ${printable(text)}\n`);
  }

  /** Nothing more can be printed. Ends the command at once. */
  protected stdoutFailed(error: Error): void {
    // whoever reads our output has seen enough (head, less): nobody is left to tell anything
    if (systemCode(error) === 'EPIPE') process.exit(EXIT.done);
    process.exit(this.showError(stdoutError(error)));
  }

  /** Shows an error and goes on; {@link Command.exit} ends the command afterwards. */
  protected showError(error: unknown): ExitCode {
    const report = reportOf(error, `${this.config.bin} ${this.id?.replaceAll(':', ' ') ?? ''} --help`);
    const text = this.given('--json') ? renderJsonError(report) : renderError(report, wantsColor(this.argv));
    process.stderr.write(text);
    if (this.given('--debug')) process.stderr.write(`${maskSecrets(inspect(error))}\n`);
    return report.exit;
  }

  /** Whether a switch stands on the command line; works before, and when, parsing it failed. */
  protected given(flag: Switch): boolean {
    return isGiven(this.argv, flag);
  }

  protected override async catch(error: Error): Promise<never> {
    if (error instanceof Errors.ExitError) throw error;
    this.exit(this.showError(error));
  }
}

/** @returns what a person is told when the output can not be written */
export function stdoutError(error: Error): PacificaError {
  const { code, message, hint } = wrapSystemError(error, 'can not write to standard output');
  // one that may pass is no service that is away
  return new PacificaError(code === 'no-space' ? code : 'internal', message, { hint, cause: error });
}

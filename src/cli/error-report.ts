import { stripVTControlCharacters } from 'node:util';
import { Errors } from './oclif.js';
import { closest } from '../lib/closest.js';
import { databaseFull, messageOf, PacificaError } from '../lib/errors.js';
import { maskSecrets } from '../lib/mask-secrets.js';
import { type ExitCode, exitCodeOf } from './exit-codes.js';
import { printable } from './text.js';

/** What a person, or with `--json` a program, is told about a failure. */
export interface ErrorReport {
  /** stable name of the kind of failure: a code of PacificaError, or `usage` */
  readonly code: string;
  /** what went wrong with which thing, one line */
  readonly message: string;
  /** what can be done about it, one line */
  readonly hint?: string;
  readonly exit: ExitCode;
}

/** @param usage how to get help on the command, for errors of its flags and arguments: `pacifica archive put --help` */
export function reportOf(thrown: unknown, usage: string): ErrorReport {
  const error = databaseFull(thrown) ?? thrown;
  const exit = exitCodeOf(error);
  if (error instanceof PacificaError) {
    return {
      code: error.code,
      message: shown(error.message),
      ...(error.hint !== undefined && { hint: shown(error.hint) }),
      exit,
    };
  }
  if (error instanceof Errors.CLIError)
    return { code: 'usage', message: usageMessage(error), hint: `see ${usage}`, exit };
  return { code: 'internal', message: shown(messageOf(error)), hint: '--debug shows more', exit };
}

/** A text of any origin as it may be shown. */
function shown(text: string): string {
  return printable(maskSecrets(text));
}

/** What oclif says of flags, and how a person would. */
const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/Missing required flag (\S+)/g, 'missing flag --$1'],
  [/All of the following must be provided when using (--\S+): /g, '$1 needs '],
  [/Exactly one of the following must be provided: /g, 'give one of '],
  [/Expected (--[\w-]+)=(.*?) to be one of: /g, '$1 can not be $2, it is one of '],
  [/(--[\w-]+)=.*? cannot also be provided when using (--[\w-]+)/g, '$1 and $2 do not go together'],
];

/** One line of what oclif's parser says in several. */
function usageMessage(error: Error): string {
  if ('flags' in error && Array.isArray(error.flags)) {
    return error.flags.map((flag: string) => `there is no flag ${printable(flag)}${guess(flag, error)}`).join('; ');
  }
  if ('args' in error && Array.isArray(error.args) && error.message.startsWith('Missing')) {
    const names = error.args.map((arg: { name: string }) => arg.name.toUpperCase());
    return `missing argument ${names.join(', ')}`;
  }
  const lines = stripVTControlCharacters(error.message)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(See more help with|The following errors? occurred:)/.test(line))
    .join('; ')
    .replace(/Parsing (--\S+); *Expected/g, '$1: expected');
  const text = SENTENCES.reduce((said, [theirs, ours]) => said.replace(theirs, ours), lines);
  return shown(text.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase()));
}

/** The flag of the command that was probably meant. */
function guess(flag: string, error: Error): string {
  const input = 'parse' in error ? (error.parse as { input?: { flags?: object } } | undefined)?.input : undefined;
  const meant = closest(
    flag,
    Object.keys(input?.flags ?? {}).map((name) => `--${name}`),
  );
  return meant === undefined ? '' : `, did you mean ${meant}?`;
}

/** Switches that hold for how a command speaks: also for what it says when its command line can not be parsed. */
export type Switch = '--json' | '--debug' | '--no-color' | '--progress';

/** @returns whether a switch stands in front of the `--` of a command line */
export function isGiven(argv: readonly string[], flag: Switch): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes(flag);
}

/** @returns whether errors are coloured: on a terminal, unless NO_COLOR (no-color.org) or --no-color forbids it */
export function wantsColor(argv: readonly string[]): boolean {
  return process.stderr.isTTY && (process.env.NO_COLOR ?? '') === '' && !isGiven(argv, '--no-color');
}

/** One or two lines for a terminal or a log. */
export function renderError({ message, hint }: ErrorReport, color: boolean): string {
  const label = color ? '\u001b[31mError:\u001b[39m' : 'Error:';
  return `${label} ${message}\n${hint === undefined ? '' : ` Hint: ${hint}\n`}`;
}

/** One JSON line for a program. */
export function renderJsonError(report: ErrorReport): string {
  return `${JSON.stringify({ error: report })}\n`;
}

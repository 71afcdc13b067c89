import type { Hook } from './oclif.js';
import { closest } from '../lib/closest.js';
import { PacificaError } from '../lib/errors.js';
import { isGiven, renderError, renderJsonError, reportOf, wantsColor } from './error-report.js';

/** What is said to somebody who mistyped a command: oclif calls it (package.json, oclif.hooks). */
const commandNotFound: Hook.CommandNotFound = async function ({ id, argv = [], config }) {
  const commands = config.commandIDs.map((command) => command.replaceAll(':', ' '));
  const { message, hint } = mistake(wordsOf(id), commands, config.bin);
  const report = reportOf(new PacificaError('invalid', message, { hint }), config.bin);
  process.stderr.write(isGiven(argv, '--json') ? renderJsonError(report) : renderError(report, wantsColor(argv)));
  this.exit(report.exit);
};

/** oclif joins the words up to the first flag by colons, those behind the command too. */
function wordsOf(id: string): string[] {
  const typed = process.argv.slice(2);
  const count = typed.findIndex((_, index) => typed.slice(0, index + 1).join(':') === id) + 1;
  return count > 0 ? typed.slice(0, count) : id.split(':');
}

function mistake(
  words: readonly string[],
  commands: readonly string[],
  bin: string,
): { message: string; hint: string } {
  const [first = '', second = ''] = words;
  if (first === 'help') {
    const topic = words.slice(1).join(' ');
    return { message: 'there is no command "help"', hint: `see ${[bin, topic, '--help'].filter(Boolean).join(' ')}` };
  }
  if (first.startsWith('-')) {
    const meant = closest(first, ['--version', '--help']);
    if (meant !== undefined) return { message: `there is no flag ${first}`, hint: `did you mean "${bin} ${meant}"?` };
    return { message: `${first} stands before the command`, hint: `write it behind: ${bin} COMMAND ${first}` };
  }
  const pair = `${first} ${second}`;
  const command = [pair, first].find((name) => commands.includes(name));
  if (command !== undefined) {
    const surplus = words.slice(command.split(' ').length).join(' ');
    return { message: `unexpected argument: ${surplus}`, hint: `see ${bin} ${command} --help` };
  }
  const topics = new Set(commands.map((name) => name.split(' ')[0] ?? ''));
  const isTopic = topics.has(first);
  const meant = isTopic ? closestIn(first, second, commands) : (closest(pair, commands) ?? closest(first, topics));
  return {
    message: `there is no command "${isTopic ? pair : first}"`,
    hint: meant === undefined ? `see ${bin} ${isTopic ? `${first} ` : ''}--help` : `did you mean "${bin} ${meant}"?`,
  };
}

/** The command of a topic that was probably meant. */
function closestIn(topic: string, verb: string, commands: readonly string[]): string | undefined {
  const verbs = commands.flatMap((name) => (name.startsWith(`${topic} `) ? [name.slice(topic.length + 1)] : []));
  const meant = closest(verb, verbs);
  return meant === undefined ? undefined : `${topic} ${meant}`;
}

export default commandNotFound;

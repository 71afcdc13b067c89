import type { Hook } from '@oclif/core';
import { PacificaError } from '../lib/errors.js';
import { closest } from '../lib/closest.js';
import { isGiven, renderError, renderJsonError, reportOf, wantsColor } from './error-report.js';

/** What is said to somebody who mistyped a command: oclif calls it (package.json, oclif.hooks). */
const commandNotFound: Hook.CommandNotFound = async function ({ id, argv = [], config }) {
  // oclif takes words behind the command for parts of it
  const words = id.split(':');
  const known = config.commandIDs.map((command) => command.replace(':', ' '));
  const topics = new Set(known.map((command) => command.split(' ')[0] ?? ''));
  const first = words[0] ?? '';
  const asked = words.slice(0, topics.has(first) ? 2 : 1).join(' ');
  const whole = words.length > 1 ? closest(words.slice(0, 2).join(' '), known) : undefined;
  const meant = whole ?? closest(first, topics);
  const hint = meant === undefined ? `see ${config.bin} --help` : `did you mean "${config.bin} ${meant}"?`;
  const report = reportOf(new PacificaError('invalid', `there is no command "${asked}"`, { hint }), config.bin);
  process.stderr.write(isGiven(argv, '--json') ? renderJsonError(report) : renderError(report, wantsColor(argv)));
  this.exit(report.exit);
};

export default commandNotFound;

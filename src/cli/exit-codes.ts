import { Errors } from './oclif.js';
import { type ErrorCode, mayPass, PacificaError } from '../lib/errors.js';

/** What every command ends with (docs/exit-codes.md). "Try again later" is apart from "never". */
export const EXIT = {
  /** done; of a status command: it could tell */
  done: 0,
  /** failed for a reason that is none of those below */
  failed: 1,
  /** wrong usage: a flag, an argument or a file given is not valid */
  usage: 2,
  /** the thing named is not there */
  notFound: 3,
  /** it is being made: ask again later */
  notReady: 4,
  /** a service can not be reached or is busy: try again later */
  tryLater: 5,
  /** bytes do not match their hash or length */
  integrity: 6,
  /** refused by a rule: policy, permission, write-once, a limit of the site */
  refused: 7,
  /** stopped by Ctrl-C or a signal */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const EXIT_OF: Record<ErrorCode, ExitCode> = {
  invalid: EXIT.usage,
  'not-found': EXIT.notFound,
  exists: EXIT.refused,
  forbidden: EXIT.refused,
  precondition: EXIT.failed,
  'too-large': EXIT.refused,
  range: EXIT.failed,
  'not-ready': EXIT.notReady,
  integrity: EXIT.integrity,
  'no-space': EXIT.failed,
  unavailable: EXIT.tryLater,
  'bad-gateway': EXIT.tryLater,
  timeout: EXIT.tryLater,
  aborted: EXIT.interrupted,
  internal: EXIT.failed,
};

/** @returns the exit code of a command that ended with `error` */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof PacificaError) return EXIT_OF[error.code];
  // oclif throws these for wrong flags and arguments
  if (error instanceof Errors.CLIError) return EXIT.usage;
  return mayPass(error) ? EXIT.tryLater : EXIT.failed;
}

/** @returns the exit code of several failures together: the one that they have in common, else `failed` */
export function exitCodeOfAll(errors: readonly unknown[]): ExitCode {
  const codes = new Set(errors.map(exitCodeOf));
  const [code = EXIT.done] = codes;
  return codes.size > 1 ? EXIT.failed : code;
}

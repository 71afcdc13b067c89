import { type Logger, pino } from 'pino';
import type { Config } from '../config/load.js';
import { messageOf, PacificaError } from '../lib/errors.js';

/** What a daemon writes as it works: JSON lines. */
export interface Logs {
  readonly log: Logger;
  /** takes one line a request */
  readonly access: Logger;
  /** Writes what is still in memory, at once. */
  flush(): void;
  /** Writes what is still in memory and lets go of signals. */
  close(): void;
}

/**
 * Opens the log: stderr, or the files of `[log]`. SIGHUP has files opened anew, so that logrotate can move them away.
 * @throws PacificaError `invalid` naming the file that can not be opened
 */
export function openLogs({ log: { level, error_file, access_file } }: Config): Logs {
  const base = { pid: process.pid };
  const main = destination(error_file);
  const log = pino({ level, base }, main);
  const requests = access_file === '' ? undefined : destination(access_file);
  // who names a file for requests wants them, however much else is logged
  const access = requests === undefined ? log : pino({ level: 'info', base }, requests);
  const files = [...(error_file === '' ? [] : [main]), ...(requests === undefined ? [] : [requests])];
  const reopen = (): void => files.forEach((file) => file.reopen());
  if (files.length > 0) process.on('SIGHUP', reopen);
  const flush = (): void => {
    main.flushSync();
    requests?.flushSync();
  };
  return {
    log,
    access,
    flush,
    close() {
      flush();
      process.off('SIGHUP', reopen);
    },
  };
}

function destination(file: string): ReturnType<typeof pino.destination> {
  if (file === '') return pino.destination({ fd: 2, sync: false });
  try {
    // opened at once, so that a wrong name ends the start
    return pino.destination({ dest: file, sync: true });
  } catch (error) {
    throw new PacificaError('invalid', `can not write the log file ${file}: ${messageOf(error)}`, {
      hint: 'correct [log] in the configuration, or the rights of the folder',
      cause: error,
    });
  }
}

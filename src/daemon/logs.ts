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

type Destination = ReturnType<typeof pino.destination>;

/** bytes of lines that wait for a log that takes none; what comes after them is lost */
const MOST_WAITING = 16 * 1024 * 1024;

function destination(file: string): Destination {
  if (file === '') return lossy(pino.destination({ fd: 2, sync: false, maxLength: MOST_WAITING }));
  try {
    // opened at once, so that a wrong name ends the start
    return lossy(pino.destination({ dest: file, sync: true, maxLength: MOST_WAITING }));
  } catch (error) {
    throw new PacificaError('invalid', `can not write the log file ${file}: ${messageOf(error)}`, {
      hint: 'correct [log] in the configuration, or the rights of the folder',
      cause: error,
    });
  }
}

/**
 * A log that can not be written, its disk being full, is no reason to end or to stand still: lines wait until it can be
 * again. Left to itself the stream would throw the error where something is logged, and try for ever to flush.
 */
function lossy(stream: Destination): Destination {
  let fails = false;
  stream.on('error', () => (fails = true));
  stream.on('write', () => (fails = false));
  const flushSync = stream.flushSync.bind(stream);
  stream.flushSync = () => {
    if (!fails) flushSync();
  };
  return stream;
}

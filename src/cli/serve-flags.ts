import { Flags } from './oclif.js';
import type { SettingName } from '../config/load.js';
import { PacificaError } from '../lib/errors.js';

/** Flags of every command that works on the data folder of this machine. */
export const dataDirFlag = {
  'data-dir': Flags.string({
    summary: 'Folder of everything that is kept',
    helpValue: 'DIR',
    parse: (folder) => {
      // a script's variable that is not set must not lead to the folder of the user
      if (folder === '') throw new PacificaError('invalid', '--data-dir is empty', { hint: 'name a folder' });
      return Promise.resolve(folder);
    },
  }),
};

const cherrypyFlag = {
  'cp-config': Flags.string({
    aliases: ['cpconfig'],
    summary: 'CherryPy file of an original service: its address, port and log files',
    helpValue: 'FILE',
  }),
};

/** Flags of the commands that look at a configuration. */
export const configurationFlags = {
  service: Flags.option({
    options: ['archive', 'cart', 'ingest', 'proxy', 'catalog'] as const,
    summary: 'The daemon that it is for',
    helpValue: 'NAME',
  })(),
  ...cherrypyFlag,
  ...dataDirFlag,
};

/** Which setting {@link dataDirFlag} stands for. */
export const dataDirSetting: Readonly<Record<string, SettingName>> = { 'data-dir': 'data.dir' };

/** Flags of every daemon. */
export const daemonFlags = {
  ...dataDirFlag,
  'admin-port': Flags.integer({ summary: 'Port for health checks and metrics', min: 0, max: 65535, helpValue: 'PORT' }),
  insecure: Flags.boolean({ summary: 'Allow an address that other machines can reach' }),
};

/** Flag of a daemon that runs jobs beside its requests. */
export const noWorkerFlag = {
  'no-worker': Flags.boolean({ summary: 'Run no jobs: they are left to "pacifica worker"' }),
};

/** Flags of a daemon of one service, with the short forms of the originals' commands. */
export const singleServiceFlags = {
  ...daemonFlags,
  port: Flags.integer({
    char: 'p',
    summary: 'Port to listen on; 0 takes a free one',
    min: 0,
    max: 65535,
    helpValue: 'PORT',
  }),
  ...cherrypyFlag,
  address: Flags.string({ char: 'a', summary: 'Address to listen on', helpValue: 'HOST' }),
};

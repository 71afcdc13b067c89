import { readFile } from 'node:fs/promises';
import { type ErrorCode, messageOf, PacificaError, systemCode } from '../lib/errors.js';
import { type IniFile, parseIni } from './ini.js';
import { CHERRYPY, CONFIG_VARIABLES, pythonText } from './originals.js';
import type { ServiceName } from './setting.js';

/** A value as it stands in a file. */
export interface FileValue {
  readonly section: string;
  readonly key: string;
  readonly text: string;
  /** `/etc/pacifica.ini, line 3, [serve] host` */
  readonly origin: string;
}

/** What all files of one configuration say, each key once. */
export interface FileValues {
  readonly files: readonly string[];
  readonly values: readonly FileValue[];
  /** by `section.key` as it stands there */
  get(name: string): FileValue | undefined;
}

export interface FileOptions {
  readonly configFile: string | undefined;
  readonly cherrypyFile: string | undefined;
  readonly service: ServiceName | undefined;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Reads the INI files of a configuration: the one that the command line names, else PACIFICA_CONFIG, else those that the
 * originals' variables name (of one service that service's only); and a CherryPy file.
 * @throws PacificaError `not-found`; `invalid` for what is no INI file, and for two files that contradict each other
 */
export async function readFiles(options: FileOptions): Promise<FileValues> {
  const sources = [...configFiles(options)];
  if (options.cherrypyFile !== undefined) sources.push({ file: options.cherrypyFile, named: '--cp-config' });
  const found = new Map<string, FileValue>();
  for (const { file, named } of sources) {
    for (const value of valuesOf(parseIni(await read(file, named), file), file, options.service)) {
      const name = `${value.section}.${value.key}`;
      const other = found.get(name);
      if (other !== undefined && plain(other.text) !== plain(value.text)) {
        throw new PacificaError('invalid', `${value.origin} says something else than ${other.origin}`, {
          hint: 'run each service by its own command, or make one file of them and name it in PACIFICA_CONFIG',
        });
      }
      found.set(name, other ?? value);
    }
  }
  return {
    files: sources.map(({ file }) => file),
    values: [...found.values()],
    get: (name) => found.get(name),
  };
}

/** Two ways to write one URL or folder are no contradiction. */
function plain(text: string): string {
  return text.replace(/\/+$/, '');
}

function configFiles({ configFile, service, env }: FileOptions): { file: string; named: string }[] {
  if (configFile !== undefined && configFile !== '') return [{ file: configFile, named: '--config' }];
  const ours = env.PACIFICA_CONFIG ?? '';
  if (ours !== '') return [{ file: ours, named: 'PACIFICA_CONFIG' }];
  return Object.entries(CONFIG_VARIABLES).flatMap(([named, of]) => {
    const file = env[named] ?? '';
    return file === '' || (service !== undefined && service !== of) ? [] : [{ file, named }];
  });
}

/** What means something here of CherryPy's `[global]` goes by our names. */
function* valuesOf(ini: IniFile, file: string, service: ServiceName | undefined): Generator<FileValue> {
  for (const [section, keys] of ini) {
    for (const [key, { value, line }] of keys) {
      const origin = `${file}, line ${line}, [${section}] ${key}`;
      const meant = section === 'global' ? CHERRYPY[key] : undefined;
      if (meant === undefined || (meant.includes('*') && service === undefined)) {
        yield { section, key, text: value, origin };
        continue;
      }
      const [ours = '', name = ''] = meant.replace('*', service ?? '').split('.');
      yield { section: ours, key: name, text: pythonText(value), origin };
    }
  }
}

async function read(file: string, named: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = unreadable(file, error);
    throw new PacificaError(code, message, { hint: `check ${named}`, cause: error });
  }
}

function unreadable(file: string, error: unknown): { code: ErrorCode; message: string } {
  const code = systemCode(error);
  if (code === 'ENOENT') return { code: 'not-found', message: `there is no configuration file ${file}` };
  if (code === 'EISDIR') return { code: 'invalid', message: `the configuration file ${file} is a folder` };
  if (code === 'EACCES') return { code: 'forbidden', message: `may not read the configuration file ${file}` };
  return { code: 'internal', message: `can not read the configuration file ${file}: ${messageOf(error)}` };
}

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { messageOf, PacificaError } from '../lib/errors.js';
import { parseIni } from './ini.js';
import type { Setting } from './setting.js';
import { settings } from './settings.js';

type Settings = typeof settings;
type ValueOf<S> = S extends Setting<infer T> ? T : never;

/** Every effective value, typed. Made by {@link loadConfig}; nothing else reads the environment. */
export type Config = {
  readonly [S in keyof Settings]: { readonly [K in keyof Settings[S]]: ValueOf<Settings[S][K]> };
};

/** `section.key`, as in `archive.storage` */
export type SettingName = { [S in keyof Settings]: `${S}.${keyof Settings[S] & string}` }[keyof Settings];

export interface LoadOptions {
  /** values from the command line, as text */
  flags?: Partial<Record<SettingName, string | undefined>>;
  /** names of flags, without dashes, where they are not the setting's key */
  flagNames?: Partial<Record<SettingName, string>>;
  /** path of the INI file; `PACIFICA_CONFIG` when absent */
  configFile?: string;
  env?: NodeJS.ProcessEnv;
}

/**
 * Brings flags, environment, INI file and defaults together, in this order of weight, and checks each value.
 * Empty folders and URLs are filled in from the data folder.
 * @throws PacificaError `invalid` naming the value and where it came from; `not-found` when the INI file is not there
 */
export async function loadConfig({
  flags = {},
  flagNames = {},
  configFile,
  env = process.env,
}: LoadOptions = {}): Promise<Config> {
  const file = configFile ?? env.PACIFICA_CONFIG;
  const ini = file === undefined || file === '' ? undefined : parseIni(await readConfig(file), file);

  const read = (section: string, key: string, declared: Setting<unknown>): unknown => {
    const name = `${section}.${key}` as SettingName;
    const candidates: [string | undefined, string][] = [
      [flags[name], `--${flagNames[name] ?? key.replaceAll('_', '-')}`],
      ...[environmentName(section, key), ...declared.env].map((name): [string | undefined, string] => [
        env[name],
        name,
      ]),
      ...[key, ...declared.keys].map((name): [string | undefined, string] => [
        ini?.get(section)?.get(name)?.value,
        `${file ?? ''}, [${section}] ${name}`,
      ]),
    ];
    const found = candidates.find(([value]) => value !== undefined);
    if (found?.[0] === undefined) return declared.default;
    try {
      return declared.kind.parse(found[0]);
    } catch (error) {
      const shown = declared.secret ? messageOf(error).replaceAll(found[0], '***') : messageOf(error);
      throw new PacificaError('invalid', `${found[1]}: ${shown}`, { cause: error });
    }
  };

  // the cast is sound: the keys are those of `settings`, the values what their kinds parse
  const values = Object.fromEntries(
    Object.entries(settings).map(([section, keys]) => [
      section,
      Object.fromEntries(
        Object.entries(keys).map(([key, declared]) => [key, read(section, key, declared as Setting<unknown>)]),
      ),
    ]),
  ) as Config;
  return withDefaults(values, env);
}

/** @returns `PACIFICA_<SECTION>_<KEY>` */
export function environmentName(section: string, key: string): string {
  return `PACIFICA_${section}_${key}`.toUpperCase();
}

async function readConfig(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new PacificaError('not-found', `can not read the configuration file ${file}: ${messageOf(error)}`, {
      hint: 'check --config and PACIFICA_CONFIG',
      cause: error,
    });
  }
}

function withDefaults(config: Config, env: NodeJS.ProcessEnv): Config {
  const dir = resolve(config.data.dir === '' ? userDataFolder(env) : config.data.dir);
  const folder = (value: string, name: string): string => (value === '' ? join(dir, name) : resolve(value));
  return {
    ...config,
    data: { dir },
    database: { ...config.database, url: databaseUrl(config.database.url, dir) },
    archive: {
      ...config.archive,
      storage: config.archive.storage === '' ? fileUrl('posix', join(dir, 'archive')) : config.archive.storage,
    },
    cartd: { ...config.cartd, volume_path: folder(config.cartd.volume_path, 'cart') },
    policy: { ...config.policy, rules: config.policy.rules === '' ? '' : resolve(config.policy.rules) },
    ingest: { ...config.ingest, volume_path: folder(config.ingest.volume_path, 'ingest') },
  };
}

/** Where programs of this platform keep a user's data: XDG on Linux, Application Support on macOS. */
function userDataFolder(env: NodeJS.ProcessEnv): string {
  if (env.XDG_DATA_HOME !== undefined && isAbsolute(env.XDG_DATA_HOME)) return join(env.XDG_DATA_HOME, 'pacifica');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'pacifica');
  return join(homedir(), '.local', 'share', 'pacifica');
}

/** @returns `scheme:///path` with what URLs need escaped */
export function fileUrl(scheme: string, path: string): string {
  return `${scheme}://${pathToFileURL(resolve(path)).pathname}`;
}

/**
 * The forms of the originals' peewee_url are understood: `sqliteext:///db.sqlite3` (relative to the current folder, as
 * peewee has it; absolute with four slashes), `postgresql://`.
 */
function databaseUrl(value: string, dir: string): string {
  if (value === '') return fileUrl('sqlite', join(dir, 'pacifica.db'));
  const sqlite = /^sqlite(ext|pool)?:\/\/\/(.+)$/.exec(value);
  if (sqlite !== null) {
    const [, peewee, path = ''] = sqlite;
    return fileUrl('sqlite', peewee === undefined ? `/${path}` : resolve(path));
  }
  if (/^(postgres(ql)?(ext|pool)?):\/\//.test(value)) return value.replace(/^[a-z]+:/, 'postgres:');
  throw new PacificaError('invalid', '[database] url is not a database URL that pacifica knows', {
    hint: 'use sqlite:///absolute/path or postgres://user:password@host/name',
  });
}

import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { messageOf, PacificaError } from '../lib/errors.js';
import { fileUrl } from '../lib/file-url.js';
import { maskSecrets } from '../lib/mask-secrets.js';
import { type FileValues, readFiles } from './files.js';
import type { ServiceName, Setting } from './setting.js';
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
  /** path of the INI file; when absent PACIFICA_CONFIG, or the originals' variables */
  configFile?: string;
  /** path of a CherryPy file of the originals */
  cherrypyFile?: string;
  /** the one service that it is for: what the originals say of others is not read */
  service?: ServiceName;
  env?: NodeJS.ProcessEnv;
}

/** One setting as it is. */
export interface Entry {
  readonly section: string;
  readonly key: string;
  readonly setting: Setting<unknown>;
  /** what works; its type is the setting's */
  readonly value: unknown;
  /** what works, as the INI file would have it; secrets are masked */
  readonly text: string;
  /** where it comes from: `--port`, `PEEWEE_URL`, `/etc/pacifica.ini, line 3, [serve] host`, `default` */
  readonly origin: string;
}

/** A configuration as far as it can be read. */
export interface Reading {
  /** what is wrong has its default */
  readonly config: Config;
  readonly entries: readonly Entry[];
  /** values that are not valid, each naming its origin */
  readonly errors: readonly PacificaError[];
  readonly files: FileValues;
}

/**
 * Brings flags, environment, INI file and defaults together, in this order of weight, and checks each value.
 * Empty folders and URLs are filled in from the data folder.
 * @throws PacificaError `invalid` naming the value and where it came from; `not-found` when the INI file is not there
 */
export async function loadConfig(options: LoadOptions = {}): Promise<Config> {
  const { config, errors } = await readConfig(options);
  if (errors[0] !== undefined) throw errors[0];
  return config;
}

/**
 * As {@link loadConfig}, and tells where each value came from. A value that is not valid does not stop it.
 * @throws PacificaError when a file can not be read at all
 */
export async function readConfig(options: LoadOptions = {}): Promise<Reading> {
  const { env = process.env, configFile, cherrypyFile, service } = options;
  const files = await readFiles({ configFile, cherrypyFile, service, env });
  const errors: PacificaError[] = [];
  const origins = new Map<string, string>();
  const read = (section: string, key: string, declared: Setting<unknown>): unknown => {
    const found = find(section, key, declared, { ...options, env, files });
    if (found === undefined) return declared.default;
    origins.set(`${section}.${key}`, found.origin);
    try {
      return declared.kind.parse(found.original ? (declared.original?.(found.text) ?? found.text) : found.text);
    } catch (error) {
      errors.push(invalidValue(found, declared, error));
      return declared.default;
    }
  };
  // the cast is sound: the keys are those of `settings`, the values what their kinds parse
  const values = mapSettings(read) as Config;
  const config = withDefaults(values, env);
  const entries: Entry[] = [];
  mapSettings((section, key, setting) => {
    // as above: a configuration is such a record
    const value = (config as unknown as Record<string, Record<string, unknown>>)[section]?.[key];
    entries.push({
      section,
      key,
      setting,
      value,
      text: maskSecrets(setting.kind.format(value)),
      origin: origins.get(`${section}.${key}`) ?? 'default',
    });
  });
  return { config, entries, errors, files };
}

function mapSettings(
  make: (section: string, key: string, setting: Setting<unknown>) => unknown,
): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(settings).map(([section, keys]) => [
      section,
      Object.fromEntries(
        Object.entries(keys).map(([key, declared]) => [key, make(section, key, declared as Setting<unknown>)]),
      ),
    ]),
  );
}

interface Found {
  readonly text: string;
  readonly origin: string;
  /** it stands under a name of the originals */
  readonly original: boolean;
}

/** The value of greatest weight. */
function find(
  section: string,
  key: string,
  declared: Setting<unknown>,
  { flags = {}, flagNames = {}, env, files }: LoadOptions & { env: NodeJS.ProcessEnv; files: FileValues },
): Found | undefined {
  const name = `${section}.${key}` as SettingName;
  const flag = flags[name];
  if (flag !== undefined) {
    return { text: flag, origin: `--${flagNames[name] ?? key.replaceAll('_', '-')}`, original: false };
  }
  const ours = environmentName(section, key);
  if (env[ours] !== undefined) return { text: env[ours], origin: ours, original: false };
  const together = declared.together?.(env);
  if (together !== undefined) return { text: together, origin: declared.env.join(' and '), original: true };
  if (declared.together === undefined) {
    for (const origin of declared.env)
      if (env[origin] !== undefined) return { text: env[origin], origin, original: true };
  }
  for (const other of [key, ...declared.keys]) {
    const value = files.get(`${section}.${other}`);
    if (value !== undefined) return { text: value.text, origin: value.origin, original: other !== key };
  }
  return undefined;
}

function invalidValue({ text, origin }: Found, { secret }: Setting<unknown>, error: unknown): PacificaError {
  const message = messageOf(error);
  const shown = secret && text !== '' ? message.replaceAll(text, '***') : message;
  const hint = error instanceof PacificaError ? error.hint : undefined;
  return new PacificaError('invalid', `${origin}: ${maskSecrets(shown)}`, { hint, cause: error });
}

/** @returns `PACIFICA_<SECTION>_<KEY>` */
export function environmentName(section: string, key: string): string {
  return `PACIFICA_${section}_${key}`.toUpperCase();
}

function withDefaults(config: Config, env: NodeJS.ProcessEnv): Config {
  const dir = resolve(config.data.dir === '' ? userDataFolder(env) : config.data.dir);
  const folder = (value: string, name: string): string => (value === '' ? join(dir, name) : resolve(value));
  const file = (value: string): string => (value === '' ? '' : resolve(value));
  return {
    ...config,
    data: { dir },
    database: {
      ...config.database,
      url: config.database.url === '' ? fileUrl('sqlite', join(dir, 'pacifica.db')) : config.database.url,
    },
    archive: {
      ...config.archive,
      storage: config.archive.storage === '' ? fileUrl('posix', join(dir, 'archive')) : config.archive.storage,
    },
    cartd: { ...config.cartd, volume_path: folder(config.cartd.volume_path, 'cart') },
    policy: { ...config.policy, rules: file(config.policy.rules) },
    ingest: { ...config.ingest, volume_path: folder(config.ingest.volume_path, 'ingest') },
    log: { ...config.log, error_file: file(config.log.error_file), access_file: file(config.log.access_file) },
  };
}

/** Where programs of this platform keep a user's data: XDG on Linux, Application Support on macOS. */
function userDataFolder(env: NodeJS.ProcessEnv): string {
  if (env.XDG_DATA_HOME !== undefined && isAbsolute(env.XDG_DATA_HOME)) return join(env.XDG_DATA_HOME, 'pacifica');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'pacifica');
  return join(homedir(), '.local', 'share', 'pacifica');
}

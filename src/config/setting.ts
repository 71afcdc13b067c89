import { parseDuration } from '../lib/duration.js';
import { parseDailyWindow } from '../lib/daily-window.js';
import { PacificaError } from '../lib/errors.js';
import { fileUrl } from '../lib/file-url.js';
import { parseSize } from '../lib/sizes.js';
import { fromPeewee } from './originals.js';

/** The services of the wire that a daemon runs, each with a command and a file of its own. */
export type ServiceName = 'archive' | 'cart' | 'ingest' | 'proxy' | 'catalog';

/** Reads one value from its text. Throws PacificaError `invalid` with what it should have been. */
export interface Kind<T> {
  /** for the documentation: `integer 0 to 65535` */
  readonly name: string;
  parse(text: string): T;
  /** the text that `parse` reads back */
  format(value: T): string;
}

export interface Setting<T> {
  readonly kind: Kind<T>;
  readonly default: T;
  /** what it does, in whole sentences */
  readonly help: string;
  /** other INI keys of the same section that mean it (the originals' names) */
  readonly keys: readonly string[];
  /** other environment names that mean it (the originals') */
  readonly env: readonly string[];
  /** turns a value that stands under one of these names into one of ours, where it is written in another way */
  readonly original: ((text: string) => string) | undefined;
  /** reads all of `env` at once, where several variables make one value */
  readonly together: ((env: NodeJS.ProcessEnv) => string | undefined) | undefined;
  /** it may hold a password: never shown as it is */
  readonly secret: boolean;
}

type Names = Partial<Pick<Setting<unknown>, 'keys' | 'env' | 'original' | 'together' | 'secret'>>;

export function setting<T>(
  kind: Kind<T>,
  value: NoInfer<T>,
  help: string,
  { keys = [], env = [], original, together, secret = false }: Names = {},
): Setting<T> {
  return { kind, default: value, help, keys, env, original, together, secret };
}

function invalid(text: string, name: string): PacificaError {
  return new PacificaError('invalid', `"${text}" is not valid here (wanted: ${name})`);
}

export function text(): Kind<string> {
  return { name: 'text', parse: (value) => value, format: (value) => value };
}

/** a part of the day, `22:00-06:00`; empty is none */
export function window(): Kind<string> {
  return {
    name: 'part of the day',
    parse(value) {
      if (value.trim() !== '') parseDailyWindow(value);
      return value.trim();
    },
    format: (value) => value,
  };
}

export function url(): Kind<string> {
  const name = 'HTTP URL';
  return {
    name,
    parse(value) {
      if (value === '') return value;
      if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) throw invalid(value, name);
      return value.replace(/\/+$/, '');
    },
    format: (value) => value,
  };
}

/** Path of a URL, `/a/b`, of characters that need no escape; or nothing. */
export function urlPath(): Kind<string> {
  const name = 'path of a URL';
  return {
    name,
    parse(value) {
      if (value !== '' && !/^(\/[A-Za-z0-9._~-]+)+\/?$/.test(value)) throw invalid(value, name);
      return value.replace(/\/$/, '');
    },
    format: (value) => value,
  };
}

/** URL of a database of ours; those of peewee are understood. */
export function databaseUrl(): Kind<string> {
  const name = 'database URL';
  return {
    name,
    parse(value) {
      if (value === '') return value;
      const url = value.startsWith('sqlite:') ? value : fromPeewee(value);
      const path = /^sqlite[a-z+]*:\/\/(\/.+)$/.exec(url)?.[1];
      if (path !== undefined) return fileUrl('sqlite', path);
      if (/^postgres[a-z+]*:\/\/./.test(url)) return url.replace(/^[a-z+]+:/, 'postgres:');
      throw new PacificaError('invalid', 'it is not a database URL that pacifica knows', {
        hint: 'use sqlite:///absolute/path or postgres://user:password@host/name',
      });
    },
    format: (value) => value,
  };
}

/** URL of a server that jobs are queued on; empty is the database. */
export function queueUrl(): Kind<string> {
  return {
    name: 'postgres:// or mongodb:// URL',
    parse(value) {
      if (value === '' || /^(postgres(ql)?|mongodb(\+srv)?):\/\/./.test(value)) return value;
      throw new PacificaError('invalid', `jobs can not be queued on ${value.split('://')[0] ?? ''}://`, {
        hint: 'use postgres://user:password@host/name or mongodb://host/name, or leave it empty for the database',
      });
    },
    format: (value) => value,
  };
}

export function number(min = -Infinity, max = Infinity): Kind<number> {
  const name = `number${bounds(min, max)}`;
  return {
    name,
    parse(value) {
      const parsed = value.trim() === '' ? NaN : Number(value);
      if (!(parsed >= min && parsed <= max)) throw invalid(value, name);
      return parsed;
    },
    format: String,
  };
}

/** Seconds as a number, or a time span in words: `90`, `2h`, `60 days`. */
export function seconds(min = 0): Kind<number> {
  const base = number(min);
  const name = `seconds${bounds(min, Infinity)}, or a time like 2h or 60 days`;
  return {
    name,
    parse(value) {
      if (!/[a-z]/i.test(value)) return base.parse(value);
      return base.parse(String(parseDuration(value) / 1000));
    },
    format: String,
  };
}

export function integer(min = -Infinity, max = Number.MAX_SAFE_INTEGER): Kind<number> {
  const base = number(min, max);
  const name = `integer${bounds(min, max)}`;
  return {
    name,
    parse(value) {
      if (!/^-?[0-9]+$/.test(value.trim())) throw invalid(value, name);
      return base.parse(value);
    },
    format: String,
  };
}

function bounds(min: number, max: number): string {
  if (min === -Infinity) return '';
  return max === Infinity || max === Number.MAX_SAFE_INTEGER ? ` of at least ${min}` : ` from ${min} to ${max}`;
}

export function size(): Kind<number> {
  return { name: 'size', parse: parseSize, format: String };
}

/** `on`, `yes`, `true`, `1` and their opposites, in any case, as Python's configparser takes them */
export function flag(): Kind<boolean> {
  const name = 'switch (on or off)';
  const values = new Map([
    ...['on', 'yes', 'true', '1'].map((word): [string, boolean] => [word, true]),
    ...['off', 'no', 'false', '0'].map((word): [string, boolean] => [word, false]),
  ]);
  return {
    name,
    parse(value) {
      const parsed = values.get(value.trim().toLowerCase());
      if (parsed === undefined) throw invalid(value, name);
      return parsed;
    },
    format: (value) => (value ? 'on' : 'off'),
  };
}

export function oneOf<const T extends string>(...words: T[]): Kind<T> {
  const name = `choice of ${words.join(', ')}`;
  return {
    name,
    parse(value) {
      const found = words.find((word) => word === value.trim());
      if (found === undefined) throw invalid(value, name);
      return found;
    },
    format: (value) => value,
  };
}

import { closest } from '../lib/closest.js';
import type { FileValue, FileValues } from './files.js';
import { environmentName } from './load.js';
import { unusedSection } from './originals.js';
import type { Setting } from './setting.js';
import { settings } from './settings.js';

/** A key that says nothing to this program. */
export interface Unread {
  /** `unknown` may be a mistake; `unused` is an original's own, and known */
  readonly kind: 'unknown' | 'unused';
  /** where it stands, and why it is not read */
  readonly message: string;
  readonly hint?: string;
}

/** Every name that a section may hold, the originals' too. */
const KEYS: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(settings).map(([section, keys]) => [
    section,
    Object.entries(keys).flatMap(([key, declared]) => [key, ...(declared as Setting<unknown>).keys]),
  ]),
);

/** Names everything in the files and in the environment that nobody reads. */
export function unreadKeys(files: FileValues, env: NodeJS.ProcessEnv): Unread[] {
  const inFiles = files.values.flatMap((value) => {
    const unread = unreadValue(value);
    return unread === undefined ? [] : [unread];
  });
  return [...inFiles, ...unreadVariables(env)];
}

function unreadValue({ section, key, origin }: FileValue): Unread | undefined {
  const known = KEYS.get(section);
  if (known?.includes(key) === true) return undefined;
  const reason = unusedSection(section);
  if (reason !== undefined) return { kind: 'unused', message: `${origin} is not used: ${reason}` };
  const near = known === undefined ? undefined : closest(key, known);
  if (near !== undefined) return unknown(origin, `did you mean ${near}?`);
  const elsewhere = [...KEYS].find(([, keys]) => keys.includes(key))?.[0];
  if (elsewhere !== undefined) return unknown(origin, `it belongs under [${elsewhere}]`);
  const other = known === undefined ? closest(section, KEYS.keys()) : undefined;
  return unknown(origin, other === undefined ? 'remove it' : `did you mean [${other}]?`);
}

function unknown(origin: string, hint: string): Unread {
  return { kind: 'unknown', message: `${origin}: there is no such setting`, hint };
}

/** Variables that begin as ours do; others of that prefix belong to the shell's completion and the like. */
function unreadVariables(env: NodeJS.ProcessEnv): Unread[] {
  const names = new Map<string, string>();
  for (const [section, keys] of Object.entries(settings)) {
    for (const key of Object.keys(keys)) names.set(environmentName(section, key), section);
  }
  const ours = new RegExp(`^PACIFICA_(${Object.keys(settings).join('|')})_`, 'i');
  return Object.keys(env).flatMap((name) => {
    if (names.has(name) || !name.startsWith('PACIFICA_') || name === 'PACIFICA_CONFIG') return [];
    const near = closest(name, names.keys());
    if (near === undefined && !ours.test(name)) return [];
    return [unknown(name, near === undefined ? 'unset it' : `did you mean ${near}?`)];
  });
}

import { PacificaError } from '../lib/errors.js';

/** section -> key (lower case) -> value and where it stands */
export type IniFile = Map<string, Map<string, { value: string; line: number }>>;

/**
 * Reads the INI dialect of Python's configparser, which the files of existing sites are written in: `key = value` or
 * `key: value`, keys in any case, whole-line comments with `#` or `;` only (so a password may hold either), indented
 * lines continue a value, `%%` is a per cent sign. The `ini` package of the registry cuts values at `#` and `;`.
 * @throws PacificaError `invalid` naming file and line
 */
export function parseIni(text: string, file: string): IniFile {
  const sections: IniFile = new Map();
  let section: Map<string, { value: string; line: number }> | undefined;
  let last: { value: string; line: number } | undefined;
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    if (trimmed === '' || /^[#;]/.test(trimmed)) continue;
    const header = /^\[([^\]]+)\]$/.exec(trimmed);
    if (header !== null) {
      const name = (header[1] ?? '').trim();
      section = sections.get(name) ?? new Map<string, { value: string; line: number }>();
      sections.set(name, section);
      last = undefined;
      continue;
    }
    if (/^\s/.test(raw) && last !== undefined) {
      last.value += `\n${unescape(trimmed)}`;
      continue;
    }
    const pair = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(trimmed);
    if (section === undefined || pair === null) {
      throw new PacificaError('invalid', `${file}, line ${line}: "${trimmed}" is neither [section] nor key = value`);
    }
    const key = (pair[1] ?? '').toLowerCase();
    const first = section.get(key);
    if (first !== undefined) {
      throw new PacificaError('invalid', `${file}, line ${line}: "${key}" stands in line ${first.line} already`);
    }
    last = { value: unescape(pair[2] ?? ''), line };
    section.set(key, last);
  }
  return sections;
}

function unescape(value: string): string {
  return value.replaceAll('%%', '%');
}

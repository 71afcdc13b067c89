import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { pacifica } from '../support/cli.js';
import { commands as shown } from '../support/shown.js';

const folder = fileURLToPath(new URL('../../src/commands', import.meta.url));

/** `archive put`, `serve`, ... by their files */
const commands = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replace(/\.ts$/, '').replaceAll('/', ' '));

describe('--help', () => {
  it.each(commands)('of %s fits a screen and has all its parts', async (command) => {
    const { code, stdout, stderr } = await pacifica([...command.split(' '), '--help'], {
      env: { COLUMNS: '100', OCLIF_COLUMNS: '100' },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout.toString().trimEnd().split('\n');
    expect(lines.length, stdout.toString()).toBeLessThanOrEqual(45);
    expect(Math.max(...lines.map((line) => line.length)), stdout.toString()).toBeLessThanOrEqual(100);
    // a summary of one line, a usage, what it does in whole sentences, and how it is used
    expect(lines[0]).toMatch(/^[A-Z].*[^.]$/);
    expect(lines).toContain('USAGE');
    expect(lines).toContain('DESCRIPTION');
    expect(lines).toContain('EXAMPLES');
    expect(stdout.toString()).toContain(`  $ pacifica ${command}`);
  });

  it('has a flag under one name, of one kind and letter, everywhere', () => {
    const meanings = new Map<string, Set<string>>();
    const letters = new Map<string, Set<string>>();
    const note = (map: Map<string, Set<string>>, key: string, value: string): void =>
      void map.set(key, (map.get(key) ?? new Set()).add(value));
    for (const { flags } of Object.values(shown)) {
      for (const name of ['config', 'json', 'debug', 'no-color']) expect(Object.keys(flags)).toContain(name);
      for (const [name, { type, char, aliases = [] }] of Object.entries(flags)) {
        note(meanings, name, type);
        if (char !== undefined) note(letters, name, char);
        // what is another name of one flag is none of another
        for (const alias of aliases) note(meanings, alias, type);
      }
    }
    for (const [name, kinds] of [...meanings, ...letters]) expect([...kinds], name).toHaveLength(1);
  });

  it('tells of --progress where it takes long', () => {
    const long = [
      'archive:put',
      'archive:get',
      'archive:stage',
      'archive:verify',
      'ingest:upload',
      'cart:get',
      'cart:fixit',
      'cart:purge',
      'ingest:purge',
    ];
    for (const id of long) expect(Object.keys(shown[id]?.flags ?? {}), id).toContain('progress');
  });

  it('is what -h asks for, too', async () => {
    const { stdout } = await pacifica(['cart', 'get', '--help']);
    expect((await pacifica(['cart', 'get', '-h'])).text()).toBe(stdout.toString());
    expect((await pacifica(['-h'])).text()).toContain('USAGE');
  });

  it('of everything shows topics and the version', async () => {
    const { stdout } = await pacifica(['--help']);
    for (const word of ['archive', 'cart', 'ingest', 'proxy', 'serve', 'VERSION'])
      expect(stdout.toString()).toContain(word);
    expect((await pacifica(['--version'])).text()).toMatch(/^pacifica\/\d+\.\d+\.\d+ /);
  });
});

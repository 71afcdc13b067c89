import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { pacifica } from '../support/cli.js';

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

  it('of everything shows topics and the version', async () => {
    const { stdout } = await pacifica(['--help']);
    for (const word of ['archive', 'cart', 'ingest', 'proxy', 'serve', 'VERSION'])
      expect(stdout.toString()).toContain(word);
    expect((await pacifica(['--version'])).text()).toMatch(/^pacifica\/\d+\.\d+\.\d+ /);
  });
});

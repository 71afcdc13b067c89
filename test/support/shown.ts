import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

// What people are shown to type: examples of --help, blocks and inline commands of README and docs/.

const root = resolve(import.meta.dirname, '../..');

interface Manifest {
  commands: Record<
    string,
    { examples?: string[]; flags: Record<string, { type: string; char?: string; aliases?: string[] }> }
  >;
}

export const { commands } = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8')) as Manifest;

/** Every example of `--help`, as it is printed. */
export const helpExamples: readonly string[] = [
  ...new Set(
    Object.entries(commands).flatMap(([id, { examples = [] }]) =>
      examples.map((example) =>
        example.replaceAll('<%= config.bin %>', 'pacifica').replaceAll('<%= command.id %>', id.replaceAll(':', ' ')),
      ),
    ),
  ),
];

export interface Page {
  /** below the root: `docs/jobs.md` */
  readonly name: string;
  readonly text: string;
}

/** README and all of docs/ but the page that is made of --help. */
export const pages: readonly Page[] = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((file) => file.endsWith('.md') && file !== 'commands.md')
    .map((file) => `docs/${file}`),
].map((name) => ({ name, text: readFileSync(join(root, name), 'utf8') }));

/** @returns the page of that name */
export function page(name: string): Page {
  const found = pages.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no page ${name}`);
  return found;
}

/** @returns what stands in a page's blocks of one language, in their order */
export function blocks({ text }: Page, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1] ?? '');
}

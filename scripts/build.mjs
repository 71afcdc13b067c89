// Makes dist/ of src/ from nothing, so that no file of an older build stays: what commands share, our own modules and
// those of packages, goes into chunks, since finding and opening a thousand files takes longer than running them.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { builtins, leftOut, patches } from './build-plugins.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(join(root, 'dist'), { recursive: true, force: true });
const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'));
// types of what has not changed since are not looked at again: `npm ci` builds, and the tests after it do, too
const known = ['--incremental', '--tsBuildInfoFile', join(root, 'node_modules/.cache/pacifica.tsbuildinfo')];
const { status } = spawnSync(process.execPath, [tsc, '-p', root, '--noEmit', ...known], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

const commands = readdirSync(join(root, 'src/commands'), { recursive: true }).filter((file) => file.endsWith('.ts'));
const { metafile } = await build({
  absWorkingDir: root,
  // oclif loads a command by the name of its file; what bin/run.js and package.json name is loaded so, too
  entryPoints: ['src/cli/oclif.ts', 'src/cli/command-not-found.ts', ...commands.map((file) => `src/commands/${file}`)],
  outbase: 'src',
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  metafile: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  // whitespace and names stay as they are for the sake of stacks
  minifySyntax: true,
  legalComments: 'none',
  plugins: [builtins, leftOut, patches()],
  // packages in CommonJS want it
  banner: { js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);" },
  define: {
    __dirname: 'import.meta.dirname',
    __filename: 'import.meta.filename',
    // oclif's look at the version of Node, which npm has looked at
    'process.env.OCLIF_DISABLE_ENGINE_WARNING': '"1"',
  },
  // native, what brings its own optional parts, and what is not installed: optional parts of pg, Sequelize and oclif
  external: ['sqlite3', 'mongodb', 'pg-native', 'pg-hstore', 'typescript'],
});
for (const file of Object.keys(metafile.outputs)) asAscii(join(root, file));
const inputs = Object.keys(metafile.inputs).flatMap((path) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []);
const licenses = [...new Set(inputs)].sort().map(licenseOf);
writeFileSync(join(root, 'dist/licenses.txt'), licenses.join('\n\n'));

/**
 * Escapes what esbuild leaves as it is: letters of other alphabets in regular expressions and comments. V8 keeps the
 * text of a module while it runs, with two bytes for every letter of it where one is not Latin.
 */
function asAscii(file) {
  const text = readFileSync(file, 'utf8');
  // there the escape would be of the backslash
  const before = /(?<!\\)(?:\\\\)*\\[^\0-\x7f]/.exec(text);
  if (before !== null) throw new Error(`${file} has a backslash before a letter that can not be escaped: ${before[0]}`);
  const escaped = text.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  if (escaped !== text) writeFileSync(file, escaped);
}

/** @returns the terms that a package in dist/ may be passed on under */
function licenseOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
  const files = readdirSync(join(root, folder));
  // some have theirs at the end of what they tell of themselves
  const file = files.find((entry) => /^licen[cs]e/i.test(entry)) ?? files.find((entry) => /^readme/i.test(entry));
  const text = file === undefined ? undefined : readFileSync(join(root, folder, file), 'utf8');
  const terms = /^readme/i.test(file) ? /^#+ *licen[cs]e[^]*/im.exec(text)?.[0] : text;
  if (terms === undefined) throw new Error(`${folder} has no license`);
  return `${name} ${version}: ${license}\n\n${terms.trim()}\n`;
}

// Compiles src/ to dist/ from nothing, so that no file of an older build stays, and makes one file of oclif.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(join(root, 'dist'), { recursive: true, force: true });
const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'));
const { status } = spawnSync(process.execPath, [tsc, '-p', root], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);
await bundleOclif(join(root, 'dist/cli/oclif.js'));

/** Puts what a file imports of packages into the file, names as they are for the sake of stacks. */
async function bundleOclif(file) {
  const { metafile } = await build({
    entryPoints: [file],
    outfile: file,
    allowOverwrite: true,
    absWorkingDir: root,
    bundle: true,
    metafile: true,
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    minifyWhitespace: true,
    minifySyntax: true,
    // oclif is CommonJS
    banner: {
      js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url), __dirname = import.meta.dirname;",
    },
    // semver is for oclif's look at the version of Node, which npm has looked at; typescript for running from sources
    define: { 'process.env.OCLIF_DISABLE_ENGINE_WARNING': '"1"' },
    external: ['semver', 'typescript'],
  });
  const inputs = Object.keys(metafile.inputs).flatMap((path) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []);
  const licenses = [...new Set(inputs)].sort().map(licenseOf);
  writeFileSync(join(root, 'dist/cli/oclif.licenses.txt'), licenses.join('\n\n'));
}

/** @returns the terms that a package in the bundle may be passed on under */
function licenseOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
  const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`${folder} has no license`);
  return `${name} ${version}: ${license}\n\n${readFileSync(join(root, folder, file), 'utf8').trim()}\n`;
}

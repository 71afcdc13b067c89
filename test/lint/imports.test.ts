import { ESLint } from 'eslint';
import { expect, it } from 'vitest';

// in CI the parser takes it for granted that it reads each file once, from the disk, and not our texts
process.env.TSESTREE_SINGLE_RUN = 'false';

/** Lints a text as if it were the file at `path`. @returns the rules that it breaks */
async function broken(path: string, text: string): Promise<(string | null)[]> {
  const [result] = await new ESLint().lintText(text, { filePath: path });
  return (result?.messages ?? []).map(({ ruleId }) => ruleId);
}

// real files: the type-aware parser wants files that the project knows
it.each([
  ['src/lib/slots.ts', "import '../archive/archive.js';\n"],
  ['src/lib/tar/header.ts', "import '../../config/load.js';\n"],
  ['src/catalog/catalog.ts', "import '../daemon/app.js';\n"],
  ['src/catalog/catalog.ts', "import '../archive/archive.js';\n"],
  ['src/config/load.ts', "import '../storage/database/database.js';\n"],
  ['src/storage/backends/backend.ts', "import '../database/database.js';\n"],
  ['src/daemon/app.ts', "import '../wiring.js';\n"],
  ['src/jobs/jobs.ts', "import '../cli/text.js';\n"],
])('%s may not import upwards: %s', async (path, text) => {
  expect(await broken(path, text)).toContain('no-restricted-imports');
});

it.each(['src/commands/serve.ts', 'src/cli/base-command.ts', 'src/lib/slots.ts', 'bin/run.js'])(
  '%s may not import oclif but from cli/oclif.js',
  async (path) => {
    expect(await broken(path, "import '@oclif/core';\n")).toContain('no-restricted-imports');
    expect(await broken('src/cli/oclif.ts', "import '@oclif/core';\n")).not.toContain('no-restricted-imports');
  },
);

it('sees imports that are made while running, too', async () => {
  expect(await broken('src/jobs/backend.ts', "await import('../daemon/app.js');\n")).toContain('no-restricted-syntax');
});

it.each([
  ['src/daemon/app.ts', "import '../lib/slots.js';\n"],
  ['src/cart/service.ts', "import '../storage/database/carts.js';\n"],
  ['src/jobs/jobs.ts', "import '../cart/service.js';\n"],
  ['src/wiring.ts', "import './daemon/app.js';\n"],
])('%s may import downwards: %s', async (path, text) => {
  const rules = await broken(path, text);
  expect(rules).not.toContain('no-restricted-imports');
  expect(rules).not.toContain('no-restricted-syntax');
});

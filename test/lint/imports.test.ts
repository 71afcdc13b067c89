import { ESLint } from 'eslint';
import { expect, it } from 'vitest';

/** Lints a text as if it were the file at `path`. @returns the rules that it breaks */
async function broken(path: string, text: string): Promise<(string | null)[]> {
  const [result] = await new ESLint().lintText(text, { filePath: path });
  return (result?.messages ?? []).map(({ ruleId }) => ruleId);
}

it('refuses imports that run upwards, and lets those pass that run downwards', async () => {
  const rule = 'import-x/no-restricted-paths';
  // real files: the type-aware parser wants files that the project knows
  expect(await broken('src/lib/mutex.ts', "import '../archive/archive.js';\n")).toContain(rule);
  expect(await broken('src/catalog/catalog.ts', "import '../daemon/app.js';\n")).toContain(rule);
  expect(await broken('src/config/load.ts', "import '../storage/database/database.js';\n")).toContain(rule);
  expect(await broken('src/storage/backends/backend.ts', "import '../database/database.js';\n")).toContain(rule);
  expect(await broken('src/daemon/app.ts', "import '../lib/mutex.js';\n")).not.toContain(rule);
});

// npm run bench -- NAME: runs bench/NAME.ts
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { register } from 'tsx/esm/api';

const name = process.argv[2] ?? '';
const program = new URL(`${name}.ts`, import.meta.url);
if (!/^[a-z0-9-]+$/.test(name) || !existsSync(program)) {
  const names = (await readdir(import.meta.dirname)).flatMap((file) =>
    file.endsWith('.ts') ? [file.slice(0, -3)] : [],
  );
  console.error(`usage: npm run bench -- ${names.join('|')}`);
  process.exit(2);
}
register();
await import(program.href);

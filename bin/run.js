#!/usr/bin/env node
import { execute, settings } from '../dist/cli/oclif.js';

// what runs is dist/, whatever NODE_ENV says: nobody's TypeScript is looked for
settings.enableAutoTranspile = false;

// what can not be printed is told in one line, where oclif shows a stack; commands have their own way
process.stdout.removeAllListeners('error');
process.stdout.on('error', (error) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`Error: can not write to standard output: ${error.message}\n`);
  process.exit(1);
});

await execute({ dir: import.meta.url });

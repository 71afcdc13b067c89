#!/usr/bin/env node
import { execute, settings } from '../dist/cli/oclif.js';

// what runs is dist/, whatever NODE_ENV says: nobody's TypeScript is looked for
settings.enableAutoTranspile = false;

await execute({ dir: import.meta.url });

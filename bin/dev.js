#!/usr/bin/env -S node --import tsx
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execute } from '../src/cli/oclif.ts';

const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
pjson.oclif.commands.target = './commands';
pjson.oclif.hooks.command_not_found = './cli/command-not-found.ts';
await execute({ loadOptions: { root: fileURLToPath(new URL('../src', import.meta.url)), pjson } });

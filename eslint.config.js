import js from '@eslint/js';
import globals from './eslint.globals.js';
import tseslint from 'typescript-eslint';

/**
 * The house's floors, top first. Imports run downwards only: a file may import from its own room and from those below
 * its floor. Rooms of one floor do not import each other.
 */
const floors = [
  ['commands'],
  ['cli'],
  ['wiring.ts'],
  ['daemon'],
  ['jobs'],
  ['cart', 'ingest'],
  ['archive', 'catalog'],
  ['client', 'storage/backends', 'storage/database'],
  ['config'],
  ['lib'],
];

/** A room as a relative import names it: `../daemon/app.js`, `../wiring.js`, from beside it `../database/database.js`. */
function importOf(room) {
  const name = room.replace(/^storage\//, '').replace(/\.ts$/, '\\.js$');
  return name.endsWith('$') ? name : `${name}/`;
}

/** One place tells what we use of oclif. */
const oclif = { regex: '^@oclif/', message: 'what we use of oclif comes from cli/oclif.js' };

/** One configuration for each room, which forbids it the rooms above and beside it. */
const downwards = floors.flatMap((rooms, floor) =>
  rooms.flatMap((room) => {
    const forbidden = [...floors.slice(0, floor).flat(), ...rooms.filter((other) => other !== room)];
    if (forbidden.length === 0) return [];
    const regex = `^\\.{1,2}/(?:.*/)?(?:${forbidden.map(importOf).join('|')})`;
    const message = 'imports run downwards only (docs/architecture.md)';
    return {
      files: [room.endsWith('.ts') ? `src/${room}` : `src/${room}/**/*.ts`],
      rules: {
        'no-restricted-imports': ['error', { patterns: [{ regex, message }, oclif] }],
        'no-restricted-syntax': [
          'error',
          { selector: `ImportExpression[source.value=/${regex.replaceAll('/', '\\/')}/]`, message },
        ],
      },
    };
  }),
);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/'] },
  js.configs.recommended,
  { languageOptions: { globals } },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
  { files: ['src/commands/**/*.ts', 'bin/*.js'], rules: { 'no-restricted-imports': ['error', { patterns: [oclif] }] } },
  ...downwards,
  { files: ['src/cli/oclif.ts'], rules: { 'no-restricted-imports': 'off' } },
);

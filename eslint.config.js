import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import js from '@eslint/js';
import { importX } from 'eslint-plugin-import-x';
import globals from './eslint.globals.js';
import tseslint from 'typescript-eslint';

/**
 * The house's floors, top first. Imports run downwards only: a file may import from its own floor and from those below.
 * Rooms of one floor do not import each other unless named in `mayAlso`.
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

const zones = floors
  .flatMap((rooms, floor) =>
    rooms.map((room) => ({
      target: `./src/${room}`,
      from: [...floors.slice(0, floor).flat(), ...rooms.filter((other) => other !== room)].map(
        (above) => `./src/${above}`,
      ),
      message: 'imports run downwards only (docs/architecture.md)',
    })),
  )
  .filter(({ from }) => from.length > 0);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/'] },
  js.configs.recommended,
  { languageOptions: { globals } },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver({ project: './tsconfig.test.json' })] },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
    },
  },
);

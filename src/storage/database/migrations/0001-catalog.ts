import type { Migration } from './migration.js';

export const catalogTables: Migration = {
  name: '0001-catalog',
  async up() {
    // tables come here
  },
};

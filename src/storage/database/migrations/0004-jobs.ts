import type { Migration } from './migration.js';

export const jobTables: Migration = {
  name: '0004-jobs',
  async up() {
    // tables come here
  },
};

import type { Migration } from './migration.js';

export const archiveTables: Migration = {
  name: '0005-archive',
  async up() {
    // tables come here
  },
};

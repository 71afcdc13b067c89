import type { Migration } from './migration.js';

export const ingestTables: Migration = {
  name: '0002-ingest',
  async up() {
    // tables come here
  },
};

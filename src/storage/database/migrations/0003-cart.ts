import type { Migration } from './migration.js';

export const cartTables: Migration = {
  name: '0003-cart',
  async up() {
    // tables come here
  },
};

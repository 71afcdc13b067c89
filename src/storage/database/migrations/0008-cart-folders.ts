import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/**
 * Which file of a cart is the first one of a folder: so that its rows can stay in the order in which they were posted.
 * Carts of before are sorted by folder, each file right behind its neighbours.
 */
export const cartFolders: Migration = {
  name: '0008-cart-folders',
  async up({ query, transaction }) {
    const column = { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 };
    await query.addColumn('pacifica_cart_file', 'new_folders', column, { transaction });
  },
};

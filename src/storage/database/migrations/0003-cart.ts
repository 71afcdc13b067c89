import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/** Carts, their files, and who is downloading them. Times are ms since 1970. */
export const cartTables: Migration = {
  name: '0003-cart',
  async up({ query, transaction }) {
    const integer = { type: DataTypes.INTEGER, allowNull: false };
    const number = { type: DataTypes.BIGINT, allowNull: false };
    const maybeNumber = { type: DataTypes.BIGINT, allowNull: true };
    const text = { type: DataTypes.TEXT, allowNull: false };
    const word = { type: DataTypes.STRING(255), allowNull: false };
    const flag = { type: DataTypes.BOOLEAN, allowNull: false };

    await query.createTable(
      'pacifica_cart',
      {
        // names the cart's folder, so a number must never come again: AUTOINCREMENT on SQLite, a sequence on PostgreSQL
        id: { ...integer, primaryKey: true, autoIncrement: true },
        uid: word,
        status: word,
        message: text,
        bundle: flag,
        bundle_asked: flag,
        created: number,
        updated: number,
        posted: maybeNumber,
        ready: maybeNumber,
        used: number,
        downloaded: maybeNumber,
        deleted: maybeNumber,
        run_id: { ...word, allowNull: true },
        failures: integer,
        files_total: integer,
        files_ready: integer,
        bytes_total: maybeNumber,
        bytes_ready: number,
        reserved: number,
        occupied: number,
      },
      { transaction },
    );
    await query.addIndex('pacifica_cart', ['uid'], { transaction });
    await query.addIndex('pacifica_cart', ['status', 'updated'], { transaction });
    await query.addIndex('pacifica_cart', ['deleted'], { transaction });

    const ofCart = { ...integer, primaryKey: true, references: { model: 'pacifica_cart', key: 'id' } };
    await query.createTable(
      'pacifica_cart_file',
      {
        cart_id: ofCart,
        position: { ...integer, primaryKey: true },
        archive_id: word,
        path: text,
        hashtype: word,
        hashsum: word,
        status: word,
        message: text,
        size: maybeNumber,
        mtime: maybeNumber,
      },
      { transaction },
    );
    await query.addIndex('pacifica_cart_file', ['cart_id', 'status', 'position'], { transaction });

    await query.createTable(
      'pacifica_cart_lease',
      { cart_id: ofCart, owner: { ...word, primaryKey: true }, until: number },
      { transaction },
    );
  },
};

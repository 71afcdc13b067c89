import { DataTypes, Op } from 'sequelize';
import type { Migration } from './migration.js';

/** What the archive knows of its files. Times are ms since 1970. */
export const archiveTables: Migration = {
  name: '0005-archive',
  async up({ query, transaction }) {
    const number = { type: DataTypes.BIGINT, allowNull: false };
    await query.createTable(
      'pacifica_archive_file',
      {
        record_id: { type: DataTypes.STRING(36), primaryKey: true },
        file_id: { type: DataTypes.STRING(200), allowNull: false },
        version: { type: DataTypes.STRING(64), allowNull: true },
        size: number,
        mtime: number,
        algorithm: { type: DataTypes.STRING(16), allowNull: true },
        digest: { type: DataTypes.STRING(128), allowNull: true },
        state: { type: DataTypes.STRING(10), allowNull: false },
        changed: number,
      },
      { transaction },
    );
    await query.addIndex('pacifica_archive_file', ['file_id'], { transaction });
    // nearly all rows are settled for nearly all of their life
    await query.addIndex('pacifica_archive_file', {
      name: 'pacifica_archive_file_unsettled',
      fields: ['changed'],
      where: { state: { [Op.ne]: 'settled' } },
      transaction,
    });
  },
};

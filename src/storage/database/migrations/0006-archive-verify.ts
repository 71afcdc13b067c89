import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/** How far verifying the archive is, and what it found. Times are ms since 1970. */
export const verifyTables: Migration = {
  name: '0006-archive-verify',
  async up({ query, transaction }) {
    const number = { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 };
    await query.createTable(
      'pacifica_archive_verify',
      {
        selection: { type: DataTypes.STRING(64), primaryKey: true },
        run_id: { type: DataTypes.STRING(36), allowNull: false },
        started: number,
        updated: number,
        ended: { type: DataTypes.BIGINT, allowNull: true },
        pass: { type: DataTypes.STRING(10), allowNull: false },
        after_id: { type: DataTypes.STRING(200), allowNull: false },
        files: number,
        bytes: number,
        damaged: number,
        unrecorded: number,
        adopted: number,
      },
      { transaction },
    );
    await query.createTable(
      'pacifica_archive_damage',
      {
        file_id: { type: DataTypes.STRING(200), primaryKey: true },
        reason: { type: DataTypes.STRING(20), allowNull: false },
        path: { type: DataTypes.TEXT, allowNull: false },
        detail: { type: DataTypes.TEXT, allowNull: false },
        found: number,
      },
      { transaction },
    );
  },
};

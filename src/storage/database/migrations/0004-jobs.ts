import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/**
 * The job queue of SQLite (src/jobs/sqlite). On PostgreSQL Agenda's own backend makes its table when it connects.
 * Times are ms since 1970.
 */
export const jobTables: Migration = {
  name: '0004-jobs',
  async up({ query, transaction }) {
    if (query.sequelize.getDialect() !== 'sqlite') return;
    await query.createTable(
      'pacifica_job',
      {
        id: { type: DataTypes.STRING(36), primaryKey: true },
        name: { type: DataTypes.STRING, allowNull: false },
        type: { type: DataTypes.STRING(10), allowNull: false },
        priority: { type: DataTypes.INTEGER, allowNull: false },
        data: DataTypes.TEXT,
        next_run_at: DataTypes.BIGINT,
        locked_at: DataTypes.BIGINT,
        last_run_at: DataTypes.BIGINT,
        last_finished_at: DataTypes.BIGINT,
        failed_at: DataTypes.BIGINT,
        fail_count: DataTypes.INTEGER,
        fail_reason: DataTypes.TEXT,
        repeat_interval: DataTypes.TEXT,
        repeat_at: DataTypes.TEXT,
        repeat_timezone: DataTypes.TEXT,
        start_date: DataTypes.BIGINT,
        end_date: DataTypes.BIGINT,
        skip_days: DataTypes.TEXT,
        debounce_started_at: DataTypes.BIGINT,
        disabled: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
        progress: DataTypes.DOUBLE,
        fork: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: false },
        last_modified_by: DataTypes.STRING,
      },
      { transaction },
    );
    await query.addIndex('pacifica_job', {
      name: 'pacifica_job_waiting',
      fields: ['name', 'next_run_at', { name: 'priority', order: 'DESC' }],
      where: { locked_at: null },
      transaction,
    });
    await query.addIndex('pacifica_job', {
      name: 'pacifica_job_locked',
      fields: ['name', 'locked_at'],
      where: query.sequelize.literal('locked_at IS NOT NULL'),
      transaction,
    });
    await query.addIndex('pacifica_job', {
      name: 'pacifica_job_single',
      fields: ['name'],
      unique: true,
      where: { type: 'single' },
      transaction,
    });
  },
};

import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/** Idempotency keys of ingest jobs, and when a job last got further than ever before. Times are ms since 1970. */
export const ingestKeys: Migration = {
  name: '0007-ingest-keys',
  async up({ query, transaction }) {
    const number = { type: DataTypes.BIGINT, allowNull: false };
    await query.createTable(
      'pacifica_ingest_key',
      {
        // of user, kind of job and key: keys are longer than what an index may hold
        key_hash: { type: DataTypes.STRING(64), primaryKey: true },
        job_id: number,
        created: number,
      },
      { transaction },
    );
    await query.addIndex('pacifica_ingest_key', ['created'], { transaction });
    await query.addColumn('pacifica_ingest_job', 'progressed', { ...number, defaultValue: 0 }, { transaction });
    await query.sequelize.query('UPDATE pacifica_ingest_job SET progressed = updated', { transaction });
  },
};

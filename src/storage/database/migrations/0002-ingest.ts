import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/** Ingest jobs, and the files of those that are under way. Times are ms since 1970. */
export const ingestTables: Migration = {
  name: '0002-ingest',
  async up({ query, transaction }) {
    const number = { type: DataTypes.BIGINT, allowNull: false };
    const maybeNumber = { type: DataTypes.BIGINT, allowNull: true };
    const text = { type: DataTypes.TEXT, allowNull: false };
    const maybeText = { type: DataTypes.TEXT, allowNull: true };
    const word = { type: DataTypes.STRING(255), allowNull: false };
    const maybeWord = { type: DataTypes.STRING(255), allowNull: true };
    const flag = { type: DataTypes.BOOLEAN, allowNull: false };

    await query.createTable(
      'pacifica_ingest_job',
      {
        id: { ...number, primaryKey: true },
        kind: word,
        user_name: text,
        // what get_state tells
        state: word,
        task: word,
        task_percent: { type: DataTypes.DOUBLE, allowNull: false },
        exception: text,
        complete: flag,
        created: number,
        updated: number,
        // where it really is, who works on it, and what it has
        phase: word,
        kept: flag,
        run_id: maybeWord,
        process: maybeWord,
        beat: number,
        members: number,
        bytes: number,
        first_file_id: maybeNumber,
      },
      { transaction },
    );
    await query.addIndex('pacifica_ingest_job', ['phase'], { transaction });
    await query.addIndex('pacifica_ingest_job', ['created'], { transaction });

    await query.createTable(
      'pacifica_ingest_member',
      {
        job_id: { ...number, primaryKey: true, references: { model: 'pacifica_ingest_job', key: 'id' } },
        position: { ...number, primaryKey: true },
        path: text,
        // paths are longer than what an index may hold
        path_key: word,
        size: number,
        mtime: { type: DataTypes.DOUBLE, allowNull: false },
        hashtype: maybeWord,
        hashsum: maybeWord,
        problem: maybeText,
        named: flag,
        file_id: maybeNumber,
        source: maybeText,
        mode: { type: DataTypes.INTEGER, allowNull: true },
      },
      { transaction },
    );
    await query.addIndex('pacifica_ingest_member', ['job_id', 'path_key'], { transaction });
  },
};

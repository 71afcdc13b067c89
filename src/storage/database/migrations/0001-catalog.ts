import { DataTypes } from 'sequelize';
import type { Migration } from './migration.js';

/** Unique ids and metadata. Times are ms since 1970. */
export const catalogTables: Migration = {
  name: '0001-catalog',
  async up({ query, transaction }) {
    const id = { type: DataTypes.BIGINT, primaryKey: true, allowNull: false };
    const number = { type: DataTypes.BIGINT, allowNull: false };
    const text = { type: DataTypes.TEXT, allowNull: false };
    const word = { type: DataTypes.STRING(255), allowNull: false };
    const json = { type: DataTypes.TEXT, allowNull: true };
    const ofTransaction = { ...number, references: { model: 'pacifica_transaction', key: 'id' } };
    const ofKey = { type: DataTypes.INTEGER, allowNull: false, references: { model: 'pacifica_key', key: 'id' } };

    await query.createTable(
      'pacifica_unique_index',
      { mode: { ...word, primaryKey: true }, next: number },
      { transaction },
    );

    await query.createTable(
      'pacifica_transaction',
      {
        id,
        submitter: text,
        project: text,
        instrument: text,
        ingest_user: text,
        digest: word,
        extra: json,
        created: number,
        completed: { type: DataTypes.BIGINT, allowNull: true },
      },
      { transaction },
    );

    await query.createTable(
      'pacifica_key',
      {
        id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true, allowNull: false },
        key: { ...word, unique: true },
        created: number,
      },
      { transaction },
    );

    await query.createTable(
      'pacifica_transaction_key_value',
      {
        transaction_id: { ...ofTransaction, primaryKey: true },
        position: { type: DataTypes.INTEGER, primaryKey: true, allowNull: false },
        key_id: ofKey,
        value: text,
      },
      { transaction },
    );
    await query.addIndex('pacifica_transaction_key_value', ['key_id'], { transaction });

    await query.createTable(
      'pacifica_file',
      {
        id,
        transaction_id: ofTransaction,
        name: text,
        subdir: text,
        size: number,
        hashtype: word,
        hashsum: word,
        mimetype: text,
        mtime: word,
        ctime: word,
        extra: json,
        created: number,
        deleted: { type: DataTypes.BIGINT, allowNull: true },
      },
      { transaction },
    );
    await query.addIndex('pacifica_file', ['hashsum'], { transaction });
    await query.addIndex('pacifica_file', ['transaction_id', 'id'], { transaction });
    await query.addIndex('pacifica_file', ['name'], { transaction });

    await query.createTable(
      'pacifica_file_key_value',
      {
        transaction_id: { ...ofTransaction, primaryKey: true },
        position: { type: DataTypes.INTEGER, primaryKey: true, allowNull: false },
        // the file of the transaction that was meant, where there is one; and the reference as it was sent
        file_id: { type: DataTypes.BIGINT, allowNull: true },
        reference: json,
        key_id: ofKey,
        value: text,
      },
      { transaction },
    );
    await query.addIndex('pacifica_file_key_value', ['file_id'], { transaction });
    await query.addIndex('pacifica_file_key_value', ['key_id'], { transaction });
  },
};

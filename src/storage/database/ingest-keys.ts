import { DataTypes, type Model, type ModelStatic, Op, type Transaction } from 'sequelize';
import type { Database } from './database.js';

interface KeyRow {
  key_hash: string;
  /** PostgreSQL hands out BIGINT as text */
  job_id: number | string;
  created: number | string;
}
type KeyModel = Model<KeyRow> & KeyRow;

/** Which ingest job was begun under which idempotency key. */
export class IngestKeys {
  readonly #keys: ModelStatic<KeyModel>;

  constructor({ sequelize }: Database) {
    this.#keys = sequelize.define<KeyModel>(
      'IngestKey',
      {
        key_hash: { type: DataTypes.STRING, primaryKey: true },
        job_id: DataTypes.BIGINT,
        created: DataTypes.BIGINT,
      },
      { tableName: 'pacifica_ingest_key', timestamps: false },
    );
  }

  /** @param since ms since 1970: older keys are forgotten. @returns the job of a key */
  async find(key: string, since: number): Promise<number | undefined> {
    const row = await this.#keys.findOne({ where: { key_hash: key, created: { [Op.gte]: since } }, raw: true });
    return row === null ? undefined : Number(row.job_id);
  }

  /**
   * Gives a key to a job, unless another one has it. Nobody else gets the key before the transaction ends.
   * @returns the job that has it now
   */
  async take(key: string, job: number, transaction: Transaction): Promise<number> {
    const row = { key_hash: key, job_id: job, created: Date.now() };
    // waits where another one is just taking it
    await this.#keys.bulkCreate([row], { ignoreDuplicates: true, transaction });
    const found = await this.#keys.findByPk(key, { raw: true, transaction, lock: true });
    return Number(found?.job_id ?? job);
  }

  /** Gives a key to a job, whoever had it. */
  async give(key: string, job: number, transaction: Transaction): Promise<void> {
    await this.#keys.update({ job_id: job, created: Date.now() }, { where: { key_hash: key }, transaction });
  }

  /** Forgets keys. @param before ms since 1970 */
  async removeOlder(before: number): Promise<void> {
    await this.#keys.destroy({ where: { created: { [Op.lt]: before } } });
  }
}

/**
 * A process that reads a number, adds 1 and writes it back: `count-up.ts DATABASE_URL TIMES`, four at a time, each time in
 * a transaction that reads first. The table is `counter (id, value)`.
 */
import { QueryTypes } from 'sequelize';
import { Database } from '../../../src/storage/database/database.js';

const [url = '', times = '0'] = process.argv.slice(2);
const database = await Database.open(url);
const { sequelize } = database;
await Promise.all(
  Array.from({ length: 4 }, async () => {
    for (let time = 0; time < Number(times); time += 1) {
      await database.write(async (transaction) => {
        const lock = database.dialect === 'postgres' ? ' FOR UPDATE' : '';
        const [row] = await sequelize.query<{ value: number }>(`SELECT value FROM counter WHERE id = 1${lock}`, {
          type: QueryTypes.SELECT,
          transaction,
        });
        await sequelize.query('UPDATE counter SET value = ? WHERE id = 1', {
          replacements: [Number(row?.value) + 1],
          transaction,
        });
      });
    }
  }),
);
await database.close();

/**
 * A process that writes until it is killed: `write-on.ts DATABASE_URL`, sixteen at a time, numbers from 1 on into the
 * table `t (a)`; each is printed when it is promised.
 */
import { writeSync } from 'node:fs';
import { Database } from '../../../src/storage/database/database.js';

const [url = ''] = process.argv.slice(2);
const database = await Database.open(url);
let last = 0;
const write = async (): Promise<void> => {
  for (;;) {
    last += 1;
    const number = last;
    await database.write(async (transaction) => {
      await database.sequelize.query('INSERT INTO t VALUES (?)', { replacements: [number], transaction });
    });
    writeSync(1, `${number}\n`);
  }
};
await Promise.all(Array.from({ length: 16 }, write));

import { describe, expect, it } from 'vitest';
import { EmbeddedUniqueIds } from '../../src/catalog/unique-ids.js';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { UniqueIndex } from '../../src/storage/database/unique-index.js';
import { runChild } from '../support/children/run.js';
import { databaseKinds } from '../support/databases.js';

const PROCESSES = 4;
const CALLS = 40;
const CLIENTS = 16;

const kinds = await databaseKinds();

for (const kind of kinds) {
  describe.skipIf(!kind.available)(`unique ids on ${kind.name}`, () => {
    // faults.md 21: the original handed out 313 different ids to 400 requests
    it(`are handed out once by ${PROCESSES} processes at a time, without gaps`, async () => {
      const url = await kind.create();
      const database = await Database.open(url);
      await requireSchema(database);
      const outputs = await Promise.all(
        Array.from({ length: PROCESSES }, () => runChild('take-ids', url, 'file', String(CALLS), String(CLIENTS))),
      );
      const ranges = outputs.flatMap((output) => JSON.parse(output) as [number, number][]);
      expect(ranges).toHaveLength(PROCESSES * CALLS * CLIENTS);
      ranges.sort(([a], [b]) => a - b);
      let next = 1;
      for (const [start, end] of ranges) {
        expect(start).toBe(next);
        next = end + 1;
      }
      // nobody was let in between two of them either
      const last = await new EmbeddedUniqueIds(new UniqueIndex(database)).take('file', 1);
      expect(last.start).toBe(next);
      await database.close();
    });

    it('say so when a mode is used up, and go on with the others', async () => {
      const database = await Database.open(await kind.create());
      await requireSchema(database);
      const ids = new EmbeddedUniqueIds(new UniqueIndex(database));
      await ids.take('file', 1);
      await database.sequelize.query(`UPDATE pacifica_unique_index SET next = ${Number.MAX_SAFE_INTEGER - 5}`);
      expect(await ids.take('file', 5)).toMatchObject({ end: Number.MAX_SAFE_INTEGER - 1 });
      await expect(ids.take('file', 1)).rejects.toMatchObject({ code: 'forbidden' });
      expect(await ids.take('other', 1)).toEqual({ start: 1, end: 1 });
      await database.close();
    });
  });
}

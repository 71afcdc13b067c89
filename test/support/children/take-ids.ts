/**
 * A process that takes unique ids: `take-ids.ts DATABASE_URL MODE CALLS CLIENTS`, CLIENTS at a time. Prints one JSON
 * line: a list of [start, end].
 */
import { EmbeddedUniqueIds } from '../../../src/catalog/unique-ids.js';
import { Database } from '../../../src/storage/database/database.js';
import { UniqueIndex } from '../../../src/storage/database/unique-index.js';

const [url = '', mode = '', calls = '0', clients = '1'] = process.argv.slice(2);
const database = await Database.open(url);
const ids = new EmbeddedUniqueIds(new UniqueIndex(database));
const ranges: [number, number][] = [];
await Promise.all(
  Array.from({ length: Number(clients) }, async () => {
    for (let call = 0; call < Number(calls); call += 1) {
      const { start, end } = await ids.take(mode, 1 + (call % 5));
      ranges.push([start, end]);
    }
  }),
);
await database.close();
console.log(JSON.stringify(ranges));

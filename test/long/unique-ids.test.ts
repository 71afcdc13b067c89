import { expect, it } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { runChild } from '../support/children/run.js';
import { databaseKinds } from '../support/databases.js';

const PROCESSES = 4;
const CLIENTS = 16;
const CALLS = 1000;

for (const kind of await databaseKinds()) {
  it.skipIf(!kind.available)(`64 clients in 4 processes take 1,000 times each on ${kind.name}`, async () => {
    const url = await kind.create();
    const database = await Database.open(url);
    await requireSchema(database);
    await database.close();
    const started = performance.now();
    const outputs = await Promise.all(
      Array.from({ length: PROCESSES }, () => runChild('take-ids', url, 'file', String(CALLS), String(CLIENTS))),
    );
    const seconds = (performance.now() - started) / 1000;
    const ranges = outputs.flatMap((output) => JSON.parse(output) as [number, number][]);
    console.log(`${kind.name}: ${ranges.length} calls, ${Math.round(ranges.length / seconds)} a second`);
    ranges.sort(([a], [b]) => a - b);
    expect(ranges).toHaveLength(PROCESSES * CLIENTS * CALLS);
    expect(ranges.filter(([start], index) => start !== (ranges[index - 1]?.[1] ?? 0) + 1)).toEqual([]);
  });
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Database } from '../../src/storage/database/database.js';
import { requireSchema } from '../../src/storage/database/schema.js';
import { databaseKinds } from '../support/databases.js';
import { startDaemon } from '../support/serve.js';

const PROCESSES = 4;
const CLIENTS = 64;
const CALLS = 1000;
/** numbers a call at most */
const MOST = 5;

for (const kind of await databaseKinds()) {
  it.skipIf(!kind.available)(`64 clients call getid 1,000 times each of 4 processes on ${kind.name}`, async () => {
    const home = mkdtempSync(join(tmpdir(), 'pacifica-ids-'));
    const url = await kind.create();
    const database = await Database.open(url);
    await requireSchema(database);
    await database.close();
    const words = ['catalog', 'serve', '--data-dir', home, '--port', '0', '--admin-port', '0'];
    const env = { PACIFICA_DATABASE_URL: url, PACIFICA_LOG_LEVEL: 'error' };
    const daemons = await Promise.all(Array.from({ length: PROCESSES }, () => startDaemon(words, env)));
    const ranges: [number, number][] = [];
    let killed: Promise<unknown> | undefined;
    let failures = 0;

    const client = async (number: number): Promise<void> => {
      let daemon = daemons[number % PROCESSES];
      for (let call = 0; call < CALLS; call += 1) {
        const count = 1 + (call % MOST);
        try {
          const answer = await fetch(`${daemon?.urls.catalog ?? ''}/getid?range=${count}&mode=file`);
          const { startIndex, endIndex } = (await answer.json()) as { startIndex: number; endIndex: number };
          expect(endIndex - startIndex + 1).toBe(count);
          ranges.push([startIndex, endIndex]);
        } catch (error) {
          // one of the processes is killed below: its clients go to another one and ask again
          if (daemon !== daemons[0] || killed === undefined) throw error;
          failures += 1;
          call -= 1;
          daemon = daemons[1];
        }
        if (ranges.length === (CLIENTS * CALLS) / 2) killed = daemons[0]?.stop('SIGKILL');
      }
    };
    const started = performance.now();
    await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
    const seconds = (performance.now() - started) / 1000;
    console.log(`${kind.name}: ${ranges.length} calls, ${Math.round(ranges.length / seconds)} a second`);
    await killed;
    for (const daemon of daemons.slice(1)) await daemon.stop();
    rmSync(home, { recursive: true });

    expect(ranges).toHaveLength(CLIENTS * CALLS);
    ranges.sort(([a], [b]) => a - b);
    const steps = ranges.map(([start], index) => start - (ranges[index - 1]?.[1] ?? 0) - 1);
    // nobody got what another one got
    expect(steps.filter((step) => step < 0)).toEqual([]);
    // what was asked for when the process died may be lost, and no more
    expect(steps.reduce((sum, step) => sum + step, 0)).toBeLessThanOrEqual(failures * MOST);
    expect(failures).toBeLessThanOrEqual(CLIENTS / PROCESSES);
  });
}

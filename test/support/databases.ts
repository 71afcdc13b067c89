import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { startPostgres } from './postgres.js';

/** A kind of database that tests are to run on. */
export interface DatabaseKind {
  readonly name: 'SQLite' | 'PostgreSQL';
  /** false: this machine can not run it, skip by name */
  readonly available: boolean;
  /** Makes an empty database. @returns its URL */
  create(): Promise<string>;
}

/**
 * Both kinds, for `describe.each`: `const kinds = await databaseKinds()` at the top of a test file. What they made is
 * removed when the file's tests are through.
 */
export async function databaseKinds(): Promise<DatabaseKind[]> {
  const postgres = await startPostgres();
  const folder = await mkdtemp(join(tmpdir(), 'pacifica-databases-'));
  afterAll(async () => {
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });
  let made = 0;
  return [
    {
      name: 'SQLite',
      available: true,
      async create() {
        made += 1;
        return `sqlite://${join(folder, `${made}.db`)}`;
      },
    },
    {
      name: 'PostgreSQL',
      available: postgres !== undefined,
      async create() {
        if (postgres === undefined) throw new Error('there is no PostgreSQL here');
        return postgres.createDatabase();
      },
    },
  ];
}

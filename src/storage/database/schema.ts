import { QueryTypes, type Transaction } from 'sequelize';
import type { Umzug } from 'umzug';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from './database.js';
import { migrations } from './migrations/index.js';
import type { Migration } from './migrations/migration.js';

/** where the names of the migrations that ran are kept */
const JOURNAL = 'pacifica_migration';

/** Tables of the original services (wire.md, last part). A database with one of them and none of ours is not ours to touch. */
const ORIGINAL_TABLES: ReadonlySet<string> = new Set([
  'cart',
  'file',
  'carttasks',
  'cartsystem',
  'ingeststate',
  'ingeststatesystem',
  'uniqueindex',
  'uniqueindexsystem',
]);

export interface SchemaState {
  /**
   * - `empty`: no table of ours
   * - `behind`: migrations are waiting
   * - `current`: fits exactly
   * - `ahead`: it was brought up by a newer program
   * - `foreign`: it belongs to an original Pacifica service
   */
  readonly state: 'empty' | 'behind' | 'current' | 'ahead' | 'foreign';
  /** migrations of this program that did not run yet */
  readonly pending: readonly string[];
  /** migrations that ran and that this program does not know */
  readonly unknown: readonly string[];
}

/** Looks at the schema; changes nothing. */
export async function schemaState(database: Database): Promise<SchemaState> {
  const tables = await database.tables();
  if (!tables.includes(JOURNAL)) {
    const foreign =
      tables.some((table) => ORIGINAL_TABLES.has(table)) && !tables.some((table) => table.startsWith('pacifica_'));
    return { state: foreign ? 'foreign' : 'empty', pending: migrations.map(({ name }) => name), unknown: [] };
  }
  const done = await executed(database);
  const known = new Set(migrations.map(({ name }) => name));
  const pending = [...known].filter((name) => !done.includes(name));
  const unknown = done.filter((name) => !known.has(name));
  return { state: unknown.length > 0 ? 'ahead' : pending.length > 0 ? 'behind' : 'current', pending, unknown };
}

/**
 * Brings the schema up to date. Safe when several processes do it at once, and when it is killed: it is one transaction.
 * @returns names of the migrations that ran now
 * @throws PacificaError `forbidden` when the database is not ours or too new
 */
export async function syncSchema(database: Database): Promise<string[]> {
  refuseForeign(database, await schemaState(database));
  // WAL is a property of the file: readers never wait for a writer, a writer never for readers. Not before the file is
  // known to be ours.
  if (database.dialect === 'sqlite') await database.sequelize.query('PRAGMA journal_mode = WAL');
  return database.write(async (transaction) => {
    // two processes that start at once on an empty database: the second one waits here and then finds nothing to do
    if (database.dialect === 'postgres') {
      await database.sequelize.query("SELECT pg_advisory_xact_lock(hashtext('pacifica_migration'))", { transaction });
    }
    const ran = await (await umzug(database, transaction)).up();
    return ran.map(({ name }) => name);
  });
}

/**
 * What a daemon does at its start: an empty database is brought up; one that fits is left alone.
 * @throws PacificaError `forbidden` with the remedy when the schema is behind, too new or not ours
 */
export async function requireSchema(database: Database): Promise<void> {
  const state = await schemaState(database);
  refuseForeign(database, state);
  if (state.state === 'empty') await syncSchema(database);
  if (state.state === 'behind') {
    throw new PacificaError(
      'forbidden',
      `the database ${nameOf(database)} has an older schema (waiting: ${state.pending.join(', ')})`,
      {
        hint: 'back it up, then run "pacifica db sync"',
      },
    );
  }
}

function refuseForeign(database: Database, { state, unknown }: SchemaState): void {
  if (state === 'ahead') {
    throw new PacificaError(
      'forbidden',
      `the database ${nameOf(database)} belongs to a newer pacifica (${unknown.join(', ')})`,
      {
        hint: 'run the newer program, or go back to a backup of the database',
      },
    );
  }
  if (state === 'foreign') {
    throw new PacificaError(
      'forbidden',
      `the database ${nameOf(database)} holds the tables of an original Pacifica service and none of ours`,
      {
        hint: 'give pacifica a database of its own: set [database] url (or PACIFICA_DATABASE_URL) to another one',
      },
    );
  }
}

function nameOf(database: Database): string {
  const { config } = database.sequelize;
  return database.file ?? `postgres://${config.host ?? ''}/${config.database}`;
}

/** Loaded when it is needed, which is seldom. */
async function umzug(database: Database, transaction: Transaction): Promise<Umzug<{ transaction: Transaction }>> {
  const { Umzug } = await import('./umzug.js');
  const query = database.sequelize.getQueryInterface();
  return new Umzug({
    migrations: migrations.map((migration: Migration) => ({
      name: migration.name,
      up: () => migration.up({ query, transaction }),
    })),
    context: { transaction },
    logger: undefined,
    storage: {
      async executed() {
        await database.sequelize.query(`CREATE TABLE IF NOT EXISTS ${JOURNAL} (name VARCHAR(255) PRIMARY KEY)`, {
          transaction,
        });
        return executed(database, transaction);
      },
      async logMigration({ name }) {
        await database.sequelize.query(`INSERT INTO ${JOURNAL} (name) VALUES (?)`, {
          replacements: [name],
          transaction,
        });
      },
      async unlogMigration() {
        throw new PacificaError('internal', 'migrations only go forward');
      },
    },
  });
}

async function executed(database: Database, transaction?: Transaction): Promise<string[]> {
  const rows = await database.sequelize.query<{ name: string }>(`SELECT name FROM ${JOURNAL} ORDER BY name`, {
    type: QueryTypes.SELECT,
    transaction,
  });
  return rows.map(({ name }) => name);
}

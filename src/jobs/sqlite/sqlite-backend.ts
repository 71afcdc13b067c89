import type { AgendaBackend } from 'agenda';
import { PacificaError } from '../../lib/errors.js';
import type { Database } from '../../storage/database/database.js';
import type { QueueBackend } from '../backend.js';
import { Bell } from './bell.js';
import { SqliteJobRepository } from './sqlite-repository.js';
import { SqliteJobStore } from './sqlite-store.js';

/** Agenda on the table pacifica_job of an SQLite database, with a file beside it that rings when a job is new. */
export class SqliteBackend implements AgendaBackend, QueueBackend {
  readonly name = 'SQLite';
  /** the database is the domain's, and stays open */
  readonly ownsConnection = false;
  readonly repository: SqliteJobRepository;
  readonly store: SqliteJobStore;
  readonly notificationChannel: Bell;
  readonly lookEvery = undefined;

  constructor(database: Database) {
    if (database.file === undefined) throw new PacificaError('internal', 'this backend of jobs is for SQLite');
    this.repository = new SqliteJobRepository(database);
    this.store = new SqliteJobStore(database);
    this.notificationChannel = new Bell(`${database.file}-bell`);
  }

  get channel(): Bell {
    return this.notificationChannel;
  }

  async connect(): Promise<void> {
    // the Database is open, and its migrations made the table
  }

  async disconnect(): Promise<void> {
    await this.notificationChannel.disconnect();
  }

  async close(): Promise<void> {
    await this.disconnect();
  }
}

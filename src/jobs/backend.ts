import type { JobRepository, NotificationChannel } from 'agenda';
import type { Logger } from 'pino';
import { messageOf, PacificaError } from '../lib/errors.js';
import type { Database } from '../storage/database/database.js';
import type { JobStore } from './store.js';

/** Where jobs are kept: what Agenda needs of it, and what the queue needs beyond that. */
export interface QueueBackend {
  /** for the log */
  readonly name: string;
  readonly repository: JobRepository;
  readonly store: JobStore;
  /** tells other processes of new jobs; without one they are asked for every `lookEvery` ms */
  readonly channel: NotificationChannel | undefined;
  readonly lookEvery: number | undefined;
  /** Makes tables or indexes that are missing. The channel is connected apart. Rejects when it can not be reached. */
  connect(): Promise<void>;
  /** Lets go of connections of its own. */
  close(): Promise<void>;
}

export interface BackendOptions {
  /** the database of the domain */
  readonly database: Database;
  /** `postgres://...`, `mongodb://...`, or empty for the database */
  readonly url: string;
  /** an error of a connection in the background */
  readonly onError: (error: unknown) => void;
  readonly log: Logger;
}

/**
 * Chooses the backend by its URL. Does not connect.
 * @throws PacificaError `invalid` when no backend is known by that URL
 */
export async function backendFor(options: BackendOptions): Promise<QueueBackend> {
  const { database, url } = options;
  // imported when needed: each brings its driver along
  if (url === '' && database.dialect === 'sqlite') {
    const { SqliteBackend } = await import('./sqlite/sqlite-backend.js');
    return new SqliteBackend(database);
  }
  if (url === '' || /^postgres(ql)?:\/\//.test(url)) {
    // what the libraries below make of it they tell with its password
    if (url !== '' && !URL.canParse(url)) throw badUrl('a postgres:// URL that can not be read');
    const { PostgresQueueBackend } = await import('./postgres-backend.js');
    return new PostgresQueueBackend(options);
  }
  if (/^mongodb(\+srv)?:\/\//.test(url)) {
    const { MongoQueueBackend } = await import('./mongo-backend.js');
    try {
      return new MongoQueueBackend(options);
    } catch (error) {
      throw badUrl(`a mongodb:// URL that can not be read (${messageOf(error)})`, error);
    }
  }
  throw badUrl(`${url.split('://')[0] ?? ''}://`);
}

function badUrl(what: string, cause?: unknown): PacificaError {
  return new PacificaError('invalid', `jobs can not be queued in ${what}`, {
    hint: 'set [jobs] url to postgres://..., mongodb://..., or leave it empty for the database',
    cause,
  });
}

import pg from 'pg';

/**
 * A connection to PostgreSQL whose end is an error of its queries and never an exception of the process. The driver
 * tells of an end as an event; pools listen to it, but not in the moment between a connection's birth and its first
 * use, and nobody listening to an "error" ends a Node process.
 */
export class PostgresClient extends pg.Client {
  constructor(config?: unknown) {
    super(config);
    // the next query fails with the reason
    this.on('error', () => undefined);
  }
}

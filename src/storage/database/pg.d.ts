// What is used of the driver, which brings no types of its own.
declare module 'pg' {
  import type { EventEmitter } from 'node:events';

  export class Client extends EventEmitter {
    constructor(config?: unknown);
  }

  /** options of a pool of connections */
  export interface PoolConfig {
    connectionString?: string;
    max?: number;
    connectionTimeoutMillis?: number;
    keepAlive?: boolean;
    application_name?: string;
    /** class of its connections */
    Client?: typeof Client;
  }

  export class Pool extends EventEmitter {
    constructor(config?: PoolConfig);
  }

  const pg: { Client: typeof Client };
  export default pg;
}

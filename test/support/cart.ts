import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Archive } from '../../src/archive/archive.js';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { type CartServiceParts, CartService, type CartSettings } from '../../src/cart/service.js';
import { cartApp } from '../../src/daemon/cart.js';
import { parseArchiveId } from '../../src/lib/archive-id.js';
import { mayPass } from '../../src/lib/errors.js';
import type { JobHandler, JobKind, JobQueue, StillUnfinished } from '../../src/lib/job-queue.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { CartTables } from '../../src/storage/database/carts.js';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { sha1 } from './bundle.js';
import { silent } from './log.js';
import { startServer, type TestServer } from './server.js';
import { until } from './until.js';

export const CART_SETTINGS: CartSettings = {
  lruBufferTimeMs: 0,
  lruPurge: true,
  bundleDefault: false,
  copy: 'auto',
  transferSize: 4 * 1024 * 1024,
  concurrency: 4,
};

/**
 * A queue that runs its jobs in this process at once, again 50 ms after a failure that may pass, and those of later not at
 * all. Stores nothing.
 */
export class DirectQueue implements JobQueue {
  readonly handlers = new Map<JobKind, JobHandler>();
  /** whether jobs are only noted */
  paused = false;
  /** carts that jobs were put for */
  readonly noted: string[] = [];
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly errors: unknown[] = [];
  /** what happens between the reading of rows and the asking of the queue */
  beforeEnsure: () => Promise<void> = () => Promise.resolve();

  async add(kind: JobKind, id: string, { delay = 0 }: { delay?: number } = {}): Promise<void> {
    if (kind === 'cart') this.noted.push(id);
    if (this.paused || delay > 0) return;
    const running = this.#run(kind, id).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async ensure(kind: JobKind, ids: readonly string[], unfinished: StillUnfinished): Promise<void> {
    await this.beforeEnsure();
    for (const id of await unfinished(ids)) await this.add(kind, id);
  }

  async retries(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async #run(kind: JobKind, id: string): Promise<void> {
    for (let attempt = 1; !this.#stop.signal.aborted; attempt += 1) {
      try {
        await this.handlers.get(kind)?.(id, { attempt, signal: this.#stop.signal });
        return;
      } catch (error) {
        this.errors.push(error);
        if (!mayPass(error)) return;
        await sleep(50);
      }
    }
  }

  /** Waits until no job runs. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.idle();
  }
}

export interface CartSite {
  readonly folder: string;
  readonly volume: string;
  readonly database: Database;
  readonly tables: CartTables;
  readonly archive: LocalArchive;
  readonly queue: DirectQueue;
  readonly service: CartService;
  readonly server: TestServer;
  /** puts a file into the archive. @returns its entry for a cart */
  put(
    id: string | number,
    content: Buffer | string,
    mtimeMs?: number,
  ): Promise<Pick<FileId, 'id' | 'hashtype' | 'hashsum'>>;
  /** lays many files into the archive's folder, without the cost of safety; ids from `first` on. @returns them as a cart's files */
  lay(count: number, size: number, first?: number): FileId[];
  /** POSTs a cart. @returns the status */
  post(uid: string, fileids: readonly object[], extra?: object): Promise<number>;
  /** waits as deployed clients do. @returns the status then */
  end(uid: string, timeout?: number): Promise<string>;
  /** a second service on the same database and volume, as another process has it; close() it */
  another(change?: Partial<CartServiceParts>): { service: CartService; queue: DirectQueue };
  close(): Promise<void>;
}

export interface FileId {
  id: string;
  path: string;
  hashtype: string;
  hashsum: string;
}

export interface SiteOptions {
  settings?: Partial<CartSettings>;
  /** wraps the archive that the carts are taken from */
  archive?: (real: LocalArchive) => Archive;
  /** where carts lie; a folder of the site's own when absent */
  volume?: string;
  /** where the archive and the database lie */
  folder?: string;
  databaseUrl?: string;
  bodyLimit?: number;
}

/** A cart service as a site has it: real files, a real database, HTTP. */
export async function startCartSite(options: SiteOptions = {}): Promise<CartSite> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'pacifica-cart-')));
  const volume = options.volume ?? join(folder, 'cart');
  const database = await Database.open(options.databaseUrl ?? `sqlite://${folder}/pacifica.db`);
  await syncSchema(database);
  const archive = new LocalArchive({
    backend: new PosixBackend(join(folder, 'archive'), { useId2filename: false }),
  });
  const queue = new DirectQueue();
  const tables = new CartTables(database);
  const parts: CartServiceParts = {
    tables,
    archive: options.archive?.(archive) ?? archive,
    queue,
    volume,
    settings: { ...CART_SETTINGS, ...options.settings },
    log: silent,
  };
  const service = new CartService(parts);
  connect(queue, service);
  const app = cartApp(
    { service: 'cart', log: silent, debug: false },
    { service, bodyLimit: options.bodyLimit ?? 64 * 1024 * 1024 },
  );
  const server = await startServer(serve(app));
  return {
    folder,
    volume,
    database,
    tables,
    archive,
    queue,
    service,
    server,
    async put(id, content, mtimeMs = 1_600_000_000_000) {
      const bytes = Buffer.from(content);
      await archive.put(parseArchiveId(id), once(bytes), { mtimeMs });
      return { id: String(id), hashtype: 'sha1', hashsum: sha1(bytes) };
    },
    lay(count, size, first = 1) {
      mkdirSync(join(folder, 'archive'), { recursive: true });
      return Array.from({ length: count }, (_, index) => {
        const id = String(first + index);
        const content = Buffer.alloc(size, id);
        writeFileSync(join(folder, 'archive', id), content, { mode: 0o444 });
        utimesSync(join(folder, 'archive', id), 1_600_000_000, 1_600_000_000);
        return { id, path: `f/${index}`, hashtype: 'sha1', hashsum: sha1(content) };
      });
    },
    async post(uid, fileids, extra = {}) {
      const answer = await fetch(`${server.url}/${uid}`, {
        method: 'POST',
        body: JSON.stringify({ fileids, ...extra }),
      });
      await answer.arrayBuffer();
      return answer.status;
    },
    async end(uid, timeout) {
      return until(
        `the end of cart ${uid}`,
        async () => {
          const answer = await fetch(`${server.url}/${uid}`, { method: 'HEAD' });
          const status = answer.headers.get('x-pacifica-status');
          return status !== null && !['staging', 'bundling'].includes(status) && status;
        },
        timeout,
      );
    },
    another(change = {}) {
      const other = new DirectQueue();
      const second = new CartService({ ...parts, tables: new CartTables(database), queue: other, ...change });
      connect(other, second);
      return { service: second, queue: other };
    },
    async close() {
      await server.close();
      await queue.stop();
      await service.close();
      await archive.close();
      await database.close();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

function connect(queue: DirectQueue, service: CartService): void {
  queue.handlers.set('cart', service.handler).set('cart-purge', service.purgeHandler);
}

function serve(app: ReturnType<typeof cartApp>): RequestListener {
  const handle = app.callback();
  return (request, response) => void handle(request, response);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

import { access, constants } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import type Koa from 'koa';
import { type Logger, pino } from 'pino';
import type { Archive } from './archive/archive.js';
import { LocalArchive } from './archive/local-archive.js';
import { RemoteArchive, type RemoteArchiveOptions } from './archive/remote-archive.js';
import { ArchiveVerifier } from './archive/verify.js';
import { VerifySchedule } from './archive/verify-schedule.js';
import { CartService } from './cart/service.js';
import { createCatalog, type OpenCatalog } from './catalog/create.js';
import { SiteRules } from './catalog/site-rules.js';
import { waitForService } from './client/wait-for-service.js';
import type { Config } from './config/load.js';
import type { HealthCheck } from './daemon/admin.js';
import { type AppOptions, listenerOf } from './daemon/app.js';
import { archiveApp } from './daemon/archive.js';
import { cartApp } from './daemon/cart.js';
import { catalogApp } from './daemon/catalog.js';
import { ingestApp } from './daemon/ingest.js';
import { proxyApp } from './daemon/proxy.js';
import { Sweeps } from './daemon/sweeps.js';
import { IngestService } from './ingest/service.js';
import { jobMetrics } from './jobs/metrics.js';
import { type Jobs, openJobQueue } from './jobs/jobs.js';
import { parseArchiveId } from './lib/archive-id.js';
import { parseDailyWindow } from './lib/daily-window.js';
import { messageOf, PacificaError } from './lib/errors.js';
import type { JobHandler, JobKind } from './lib/job-queue.js';
import { makeFolders } from './lib/make-folders.js';
import type { Metric } from './lib/metric.js';
import type { Patience } from './lib/persist.js';
import type { StorageBackend } from './storage/backends/backend.js';
import { openBackend } from './storage/backends/index.js';
import { ArchiveFiles } from './storage/database/archive-files.js';
import { VerifyRuns } from './storage/database/archive-verify.js';
import { CartTables } from './storage/database/carts.js';
import { Database } from './storage/database/database.js';
import { IngestJobs } from './storage/database/ingest-jobs.js';
import { requireSchema } from './storage/database/schema.js';

/** The services that can be started, alone or together. */
export const services = ['archive', 'cart', 'ingest', 'proxy', 'catalog'] as const;
export type ServiceName = (typeof services)[number];

/** ms between two looks for what processes that died left behind */
const SWEEP_INTERVAL = 5000;
/** ms that the proxy tries again what may pass */
const PROXY_RETRY = 3000;

/** Everything of one process, built and connected; nothing runs before {@link House.start}. */
export interface House {
  /** @returns what answers a service's requests */
  handler(service: ServiceName): RequestListener;
  readonly checks: readonly HealthCheck[];
  /** @returns what is counted, as of now */
  metrics(): Metric[];
  /** Begins the work in the background. */
  start(): Promise<void>;
  /** Ends the work in the background: jobs that run are handed back for others to take. */
  handBack(): Promise<void>;
  /** Lets go of everything. Requests must have ended. */
  close(): Promise<void>;
}

export interface HouseOptions {
  readonly config: Config;
  readonly log: Logger;
  /** takes the lines of requests */
  readonly access?: Logger;
  readonly services: readonly ServiceName[];
  /** kinds of jobs that this process runs */
  readonly works: readonly JobKind[];
  /** ends the waiting for a database that is not there yet */
  readonly signal?: AbortSignal;
}

/**
 * Builds what the named services need from one configuration.
 * @throws PacificaError when a part can not be had
 */
export async function buildHouse({
  config,
  log,
  access,
  services: names,
  works,
  signal,
}: HouseOptions): Promise<House> {
  // services that put jobs, and the work on these
  const has = (service: 'cart' | 'ingest'): boolean => names.includes(service) || works.includes(service);
  const verifies = isVerifier(config, names, works);
  const queues = has('cart') || has('ingest') || verifies;
  await makeServiceFolders(config, has);
  const patience = daemonPatience(config, log, signal);
  const database = await Database.open(config.database.url, { patience });
  const closing: (() => Promise<void>)[] = [() => database.close()];
  const closeAll = async (): Promise<void> => {
    for (const close of closing.splice(0).toReversed()) await close();
  };
  try {
    await requireSchema(database);
    const catalog = await openCatalog(config, database, log);
    closing.push(() => catalog.close());
    const parts = { config, log, access, database, catalog };
    const apps = new Map<ServiceName, Koa>();
    const checks: HealthCheck[] = [{ name: 'database', check: () => database.sequelize.authenticate() }];
    const background = new Background(log);

    const keep = <A extends Archive>(name: string, archive: A): A => {
      checks.push({ name, check: () => reachable(archive) });
      closing.push(() => archive.close());
      background.sweeps.add(name, () => archive.sweep());
      return archive;
    };
    // one for all services of the process: changes of a file wait for each other in it
    let local: LocalArchive | undefined;
    const localArchive = (): LocalArchive => (local ??= keep('archive', openLocalArchive(parts)));

    if (names.includes('archive')) {
      const archive = localArchive();
      apps.set(
        'archive',
        archiveApp(appOptions(parts, 'archive'), { archive, writeOnce: config.archiveinterface.write_once }),
      );
    }
    if (names.includes('catalog')) apps.set('catalog', buildCatalogApp(parts));
    const handlers = new Map<JobKind, JobHandler>();
    const work = (kind: JobKind, handler: JobHandler): void => {
      if (works.includes(kind)) handlers.set(kind, handler);
    };
    let jobs: Jobs | undefined;
    let verifying: VerifySchedule | undefined;
    if (queues) {
      const queue = await openJobs(parts, patience, works.length > 0 ? handlers : undefined);
      jobs = queue;
      closing.push(() => queue.stop());
      checks.push({ name: 'jobs', check: () => queue.health() });
      background.jobs = queue;
    }
    if (jobs !== undefined && verifies) {
      const schedule = buildVerifySchedule(parts, jobs);
      verifying = schedule;
      work('verify', schedule.handler);
      background.sweeps.add('verify', () => schedule.tick());
    }
    if (names.includes('proxy') || has('cart') || has('ingest')) {
      // what the site names, else the storage itself
      const { url } = config.archiveinterface;
      const archive = url === '' ? localArchive() : keep('archiveinterface', openRemoteArchive(config, url));
      if (names.includes('proxy')) {
        await waitForMetadata(config, log, signal);
        // somebody waits for each answer of the proxy: it gives up sooner than work in the background does
        const patience = { retryBudgetMs: PROXY_RETRY };
        const itsArchive = url === '' ? archive : openRemoteArchive(config, url, patience);
        if (itsArchive !== archive) closing.push(() => itsArchive.close());
        apps.set('proxy', buildProxyApp(parts, itsArchive));
      }
      if (jobs !== undefined && has('cart')) {
        const service = buildCarts(parts, archive, jobs);
        closing.push(() => service.close());
        work('cart', service.handler);
        work('cart-purge', service.purgeHandler);
        background.sweeps.add('cart', () => service.sweep());
        if (names.includes('cart'))
          apps.set('cart', cartApp(appOptions(parts, 'cart'), { service, bodyLimit: config.cartd.body_limit }));
      }
      if (jobs !== undefined && has('ingest')) {
        const service = buildIngest(parts, archive, jobs);
        work('ingest', service.handler);
        work('ingest-purge', service.purgeHandler);
        background.sweeps.add('ingest', () => service.sweep());
        const { auth_header: authHeader, default_user: defaultUser } = config.ingest;
        if (names.includes('ingest'))
          apps.set('ingest', ingestApp(appOptions(parts, 'ingest'), { service, authHeader, defaultUser }));
      }
    }
    return {
      handler(service) {
        const app = apps.get(service);
        if (app === undefined) throw new PacificaError('internal', `${service} was not built`);
        return listenerOf(app);
      },
      checks,
      metrics: () => [...(jobs === undefined ? [] : jobMetrics(jobs)), ...(verifying?.metrics() ?? [])],
      start: () => background.start(),
      handBack: () => background.stop(),
      close: async () => {
        await background.stop();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** What admin commands work with beside daemons that run: the services themselves, nothing in the background. */
export interface Tools {
  readonly jobs: Jobs;
  readonly carts: CartService;
  readonly ingest: IngestService;
  close(): Promise<void>;
}

/**
 * Opens what a site has, on the machine that it is on.
 * @param patience how long the database, and the queue, are tried
 * @throws PacificaError `not-found` when there is no database yet, and others when a part can not be had
 */
export async function openTools(config: Config, patience: Patience): Promise<Tools> {
  // what matters is thrown
  const log = pino({ level: 'silent' });
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closing.splice(0).toReversed()) await one();
  };
  try {
    const database = await Database.open(config.database.url, { create: false, patience });
    closing.push(() => database.close());
    await requireSchema(database);
    const catalog = await openCatalog(config, database, log);
    closing.push(() => catalog.close());
    const parts = { config, log, database, catalog };
    const { url } = config.archiveinterface;
    const archive = url === '' ? openLocalArchive(parts) : openRemoteArchive(config, url);
    closing.push(() => archive.close());
    const jobs = await openJobs(parts, patience);
    closing.push(() => jobs.stop());
    const carts = buildCarts(parts, archive, jobs);
    closing.push(() => carts.close());
    return { jobs, carts, ingest: buildIngest(parts, archive, jobs), close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Parts {
  readonly config: Config;
  readonly log: Logger;
  readonly access?: Logger;
  readonly database: Database;
  readonly catalog: OpenCatalog;
}

/** What goes on beside the requests: jobs, and looking after what others left behind. */
class Background {
  readonly sweeps: Sweeps;
  jobs: Jobs | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;

  constructor(log: Logger) {
    this.sweeps = new Sweeps(log);
  }

  async start(): Promise<void> {
    // first: a job that runs meanwhile would end between the look at its row and the asking for it
    await this.sweeps.run();
    await this.jobs?.start();
    this.#timer = setInterval(() => {
      this.#sweeping ??= this.sweeps.run().finally(() => (this.#sweeping = undefined));
    }, SWEEP_INTERVAL);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#sweeping, this.jobs?.stop()]);
  }
}

/** Makes the folders that the services write to: what is wrong with one is said at the start, not at the first upload. */
async function makeServiceFolders(
  { data, cartd, ingest }: Config,
  has: (service: 'cart' | 'ingest') => boolean,
): Promise<void> {
  const folders = [data.dir];
  if (has('cart')) folders.push(cartd.volume_path);
  if (has('ingest')) folders.push(ingest.volume_path);
  for (const folder of folders) {
    try {
      await makeFolders(folder);
      await access(folder, constants.W_OK);
    } catch (error) {
      throw new PacificaError('forbidden', `can not write to the folder ${folder}: ${messageOf(error)}`, {
        hint: 'mend its permissions, or choose another one with --data-dir or in the configuration',
        cause: error,
      });
    }
  }
}

/** How long a daemon tries to reach the database, and the queue, at its start. */
function daemonPatience({ database }: Config, log: Logger, signal: AbortSignal | undefined): Patience {
  const ms = database.connect_wait * 1000;
  return { attempts: database.connect_attempts, pause: () => ms, onWait: (reason) => log.warn(reason), signal };
}

async function openCatalog(
  { uniqueid, policy, metadata, ingest }: Config,
  database: Database,
  log: Logger,
): Promise<OpenCatalog> {
  if (policy.rules !== '' && policy.ingest_url !== '') {
    throw new PacificaError('invalid', '[policy] rules is for our own policy, and ingest_url names another one', {
      hint: 'set one of the two',
    });
  }
  const broken = (error: PacificaError): void =>
    log.error({ err: error }, `the rules that were read before hold on: ${messageOf(error)}`);
  return createCatalog({
    database,
    rules: policy.rules === '' ? undefined : await SiteRules.open(policy.rules, broken),
    uniqueIdUrl: uniqueid.url,
    policyUrl: policy.ingest_url,
    metadataIngestUrl: metadata.ingest_url,
    metadataUrl: metadata.url,
    authHeader: ingest.auth_header,
  });
}

/** A site's own metadata service may still be starting; ours is there when we are. */
async function waitForMetadata({ metadata }: Config, log: Logger, signal: AbortSignal | undefined): Promise<void> {
  if (metadata.url === '') return;
  await waitForService('the metadata service', metadata.status_url || metadata.url, {
    attempts: metadata.status_attempts,
    waitMs: metadata.status_wait * 1000,
    onWait: (reason) => log.warn(reason),
    signal,
  });
}

/** The storage that the archive of this machine drives. @throws PacificaError `invalid` when it is not known */
export function openStorage({ archive, posix }: Config): StorageBackend {
  return openBackend(archive.storage, { useId2filename: posix.use_id2filename });
}

/**
 * @returns whether a process takes part in verifying the archive in the background: where the site wants that, and the
 * archive is its own. A worker whose archive is behind a URL would read it over the network; the archive's daemon does it.
 */
function isVerifier(
  { archiveinterface }: Config,
  services: readonly ServiceName[],
  works: readonly JobKind[],
): boolean {
  if (archiveinterface.verify_schedule === '') return false;
  return services.includes('archive') || (works.includes('verify') && archiveinterface.url === '');
}

function buildVerifySchedule({ config, database, log }: Parts, queue: Jobs): VerifySchedule {
  const { verify_schedule: times, verify_interval: interval, verify_rate: rate } = config.archiveinterface;
  return new VerifySchedule({
    verifier: openVerifier(config, database),
    runs: new VerifyRuns(database),
    queue,
    window: parseDailyWindow(times),
    intervalMs: interval * 1000,
    rate: rate === 0 ? undefined : rate,
    log,
  });
}

/** What verifies the archive of this machine. */
export function openVerifier(config: Config, database: Database): ArchiveVerifier {
  return new ArchiveVerifier({
    backend: openStorage(config),
    tables: new ArchiveFiles(database),
    runs: new VerifyRuns(database),
  });
}

function openLocalArchive({ config, database, log }: Parts): LocalArchive {
  const { archiveinterface } = config;
  return new LocalArchive({
    backend: openStorage(config),
    moveRoots: archiveinterface.move_roots.split(':').filter((folder) => folder !== ''),
    records: {
      tables: new ArchiveFiles(database),
      checksum: archiveinterface.digest,
      onProblem: (error) => log.warn({ err: error }, `a record of the archive is settled later: ${messageOf(error)}`),
    },
  });
}

function openRemoteArchive(
  { ingest }: Config,
  url: string,
  options: Pick<RemoteArchiveOptions, 'retryBudgetMs'> = {},
): RemoteArchive {
  return new RemoteArchive({ url, spool: join(ingest.volume_path, 'spool'), ...options });
}

/** @param handlers of the kinds that this process works on, to be filled before the work begins; none to only put jobs */
async function openJobs(
  { config: { jobs }, log, database }: Omit<Parts, 'catalog'>,
  patience: Patience,
  handlers?: ReadonlyMap<JobKind, JobHandler>,
): Promise<Jobs> {
  const { concurrency, cart_concurrency: cart, ingest_concurrency: ingest } = jobs;
  return openJobQueue({
    database,
    url: jobs.url,
    handlers: handlers ?? new Map(),
    work: handlers !== undefined,
    lockLifetimeMs: jobs.lock_lifetime * 1000,
    concurrency,
    concurrencyOf: {
      ...(cart > 0 && { cart }),
      ...(ingest > 0 && { ingest }),
      verify: 1,
      'ingest-purge': 1,
      'cart-purge': 1,
    },
    keepFinishedMs: jobs.keep_finished * 1000,
    patience,
    log,
  });
}

function buildCarts({ config: { cartd }, log, database }: Parts, archive: Archive, queue: Jobs): CartService {
  return new CartService({
    tables: new CartTables(database),
    archive,
    queue,
    volume: cartd.volume_path,
    settings: {
      lruBufferTimeMs: cartd.lru_buffer_time * 1000,
      lruPurge: cartd.lru_purge,
      bundleDefault: cartd.bundle_task,
      copy: cartd.copy,
      transferSize: cartd.transfer_size,
      concurrency: cartd.concurrency,
    },
    log,
  });
}

function buildIngest(
  { config: { ingest }, log, database, catalog }: Parts,
  archive: Archive,
  queue: Jobs,
): IngestService {
  return new IngestService({
    store: new IngestJobs(database),
    archive,
    catalog,
    queue,
    folder: ingest.volume_path,
    settings: {
      defaultHash: ingest.default_hash,
      metadataLimit: ingest.metadata_limit,
      bundleLimit: ingest.bundle_limit,
      memberLimit: ingest.member_limit,
      keepFailed: ingest.keep_failed * 1000,
      pathLimit: ingest.path_limit,
      stuckAfter: ingest.stuck_after * 1000,
    },
    log,
  });
}

function buildProxyApp(parts: Parts, archive: Archive): Koa {
  const {
    catalog: { metadata },
    config: { nginx, proxy },
  } = parts;
  return proxyApp(appOptions(parts, 'proxy'), {
    metadata,
    archive,
    accel: nginx.accel,
    accelRoot: nginx.accel_root,
    stageWaitMs: proxy.stage_wait * 1000,
  });
}

function buildCatalogApp(parts: Parts): Koa {
  const { auth_header: authHeader, default_user: defaultUser, metadata_limit: bodyLimit } = parts.config.ingest;
  return catalogApp(appOptions(parts, 'catalog'), { catalog: parts.catalog, authHeader, defaultUser, bodyLimit });
}

function appOptions({ config, log, access }: Parts, service: ServiceName): AppOptions {
  return { service, log, access, debug: config.serve.debug };
}

/** Any answer about a file will do, that there is none included. */
async function reachable(archive: Archive): Promise<void> {
  try {
    await archive.status(parseArchiveId(0));
  } catch (error) {
    if (!(error instanceof PacificaError && error.code === 'not-found')) throw error;
  }
}

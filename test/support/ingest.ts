import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Archive } from '../../src/archive/archive.js';
import { LocalArchive } from '../../src/archive/local-archive.js';
import type { Catalog } from '../../src/catalog/catalog.js';
import { createCatalog } from '../../src/catalog/create.js';
import { ingestApp } from '../../src/daemon/ingest.js';
import type { IngestSettings } from '../../src/ingest/parts.js';
import { IngestService } from '../../src/ingest/service.js';
import type { StateRecord } from '../../src/ingest/state.js';
import { type Jobs, openJobQueue } from '../../src/jobs/jobs.js';
import type { JobHandler, JobKind, JobQueue, StillUnfinished } from '../../src/lib/job-queue.js';
import { PosixBackend } from '../../src/storage/backends/posix/posix-backend.js';
import { Database } from '../../src/storage/database/database.js';
import { IngestJobs } from '../../src/storage/database/ingest-jobs.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { startApp } from './app.js';
import type { Logger } from 'pino';
import { silent } from './log.js';
import { removeFolder, temporaryFolder } from './temporary-folder.js';
import { until } from './until.js';
import { filesBelow } from './tree.js';

export const INGEST_SETTINGS: IngestSettings = {
  defaultHash: 'sha1',
  metadataLimit: 1024 ** 2,
  bundleLimit: 0,
  memberLimit: 0,
  keepFailed: 86_400_000,
  pathLimit: 0,
  stuckAfter: 900_000,
};

/** A queue that only notes: the test calls the handler itself. */
class NotingQueue implements JobQueue {
  readonly added: string[] = [];
  readonly ensured: string[] = [];

  async add(kind: JobKind, id: string): Promise<void> {
    if (kind === 'ingest') this.added.push(id);
    return Promise.resolve();
  }

  async ensure(kind: JobKind, ids: readonly string[], unfinished: StillUnfinished): Promise<void> {
    const idle = await unfinished(ids);
    if (kind === 'ingest') this.ensured.push(...idle);
  }

  async retries(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

export interface IngestSite {
  readonly folder: string;
  /** folder that a move may take files from */
  readonly incoming: string;
  readonly database: Database;
  readonly store: IngestJobs;
  readonly archive: LocalArchive;
  readonly catalog: Catalog;
  readonly service: IngestService;
  /** jobs that were put on the queue, as long as nobody works on them */
  queued(): readonly string[];
  /** jobs that the queue was asked about */
  ensured(): readonly string[];
  /** base URL of the service */
  readonly url: string;
  /** Another service on the same database and archive, some of its parts others. */
  another(parts?: Partial<SiteParts>): IngestService;
  /** Runs the job's handler once, as the queue would. */
  run(jobId: number, service?: IngestService, signal?: AbortSignal): Promise<void>;
  /** Runs the handler that removes what nobody needs any more. */
  purge(service?: IngestService): Promise<void>;
  state(jobId: number): Promise<StateRecord>;
  /** Waits for the end of a job. */
  end(jobId: number): Promise<StateRecord>;
  /** paths of the files that can be seen in the archive */
  visible(): Promise<string[]>;
  /** everything that jobs leave on their way: drafts, their metadata, temporary files */
  leftovers(): Promise<string[]>;
  /** Removes what jobs have kept that failed before a time. @returns their ids */
  purgeBefore(before: number): Promise<number[]>;
  close(): Promise<void>;
}

interface SiteParts {
  store: IngestJobs;
  archive: Archive;
  catalog: Catalog;
  queue: JobQueue;
  settings: IngestSettings;
  folder: string;
  log: Logger;
}

export interface SiteOptions {
  /** database, by default a new SQLite file */
  databaseUrl?: string;
  /** `true`: jobs run by themselves, on the real queue */
  work?: boolean;
  settings?: Partial<IngestSettings>;
  /** puts something between the service and its parts */
  wrap?: (parts: Pick<SiteParts, 'archive' | 'catalog'>) => Partial<SiteParts>;
}

/** Ingest on a real database, archive, catalog and port, in a temporary folder. */
export async function startIngest(options: SiteOptions = {}): Promise<IngestSite> {
  const folder = await temporaryFolder();
  const incoming = join(folder, 'incoming');
  await mkdir(incoming);
  const database = await Database.open(options.databaseUrl ?? `sqlite://${join(folder, 'pacifica.db')}`);
  await syncSchema(database);
  const root = join(folder, 'archive');
  const backend = new PosixBackend(root, { useId2filename: false });
  const archive = new LocalArchive({ backend, moveRoots: [incoming] });
  const catalog = createCatalog({ database, authHeader: 'X-Http-Authed-User' });
  const store = new IngestJobs(database);
  const handlers = new Map<JobKind, JobHandler>();
  const jobs: Jobs | undefined =
    options.work === true
      ? await openJobQueue({
          database,
          url: '',
          handlers,
          lockLifetimeMs: 2000,
          concurrency: 4,
          work: true,
          log: silent,
        })
      : undefined;
  const noted = new NotingQueue();
  const queue: JobQueue = jobs ?? noted;
  const another = (parts: Partial<SiteParts> = {}): IngestService =>
    new IngestService({
      store,
      archive,
      catalog,
      queue,
      folder: join(folder, 'ingest'),
      settings: { ...INGEST_SETTINGS, ...options.settings },
      log: silent,
      ...parts,
    });
  const service = another(options.wrap?.({ archive, catalog }));
  handlers.set('ingest', service.handler);
  await jobs?.start();
  const app = ingestApp(
    { service: 'ingest', log: silent, debug: false },
    { service, authHeader: 'X-Http-Authed-User', defaultUser: 'root' },
  );
  const server = await startApp(app);
  const site: IngestSite = {
    folder,
    incoming,
    database,
    store,
    archive,
    catalog,
    service,
    queued: () => noted.added,
    ensured: () => noted.ensured,
    url: server.url,
    another,
    run: (jobId, which = service, signal = new AbortController().signal) =>
      which.handler(String(jobId), { attempt: 1, signal }),
    purge: (which = service) => which.purgeHandler('leftovers', { attempt: 1, signal: new AbortController().signal }),
    state: (jobId) => service.state(jobId),
    end: (jobId) =>
      until(`the end of ingest job ${jobId}`, async () => {
        const state = await service.state(jobId);
        return state.complete ? state : undefined;
      }),
    visible: async () => (await filesBelow(root)).filter((path) => !path.startsWith('.')),
    leftovers: async () => [
      ...(await filesBelow(root)).filter((path) => path.startsWith('.')),
      ...(await filesBelow(join(folder, 'ingest'))),
    ],
    async purgeBefore(before) {
      const ids: number[] = [];
      for await (const { id } of service.purge(before)) ids.push(id);
      return ids;
    },
    async close() {
      await server.close();
      await jobs?.stop();
      await archive.close();
      await database.close();
      await removeFolder(folder);
    },
  };
  return site;
}

type Entry = Record<string, unknown>;

/** An entry of metadata for a file, right in all. */
export function fileEntry(path: string, content: string | Buffer, hashtype = 'sha1'): Entry {
  const folder = dirname(path);
  return {
    destinationTable: 'Files',
    name: path.slice(path.lastIndexOf('/') + 1),
    subdir: folder === '.' ? '' : `data/${folder}/`,
    size: Buffer.byteLength(content),
    mimetype: 'application/octet-stream',
    hashtype,
    hashsum: createHash(hashtype).update(content).digest('hex'),
    ctime: 'Tue Nov 29 14:09:05 PST 2016',
    mtime: '2016-11-29T14:09:05',
  };
}

export const TRANSACTION = [
  { destinationTable: 'Transactions.submitter', value: 10 },
  { destinationTable: 'Transactions.project', value: '1234a' },
  { destinationTable: 'Transactions.instrument', value: 54 },
];

const PYTHON = `
import io, json, sys, tarfile
spec = json.load(sys.stdin)
out = io.BytesIO()
with tarfile.open(fileobj=out, mode='w', format=getattr(tarfile, spec['format'])) as tar:
    for member in spec['members']:
        info = tarfile.TarInfo(member['name'])
        info.type = getattr(tarfile, member.get('type', 'REGTYPE'))
        info.linkname = member.get('link', '')
        info.mtime = member.get('mtime', 1480428545)
        data = member.get('content', '').encode('latin-1')
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
sys.stdout.buffer.write(out.getvalue())
`;

export interface TarSpec {
  name: string;
  /** name of a type in Python's tarfile: REGTYPE, SYMTYPE, LNKTYPE, ... */
  type?: string;
  link?: string;
  content?: string | Buffer;
  mtime?: number;
}

/** Makes a tar of exactly these members with Python's tarfile. */
export function pythonTar(members: readonly TarSpec[], format = 'PAX_FORMAT'): Buffer {
  const spec = members.map((member) => ({
    ...member,
    ...(member.content !== undefined && { content: Buffer.from(member.content).toString('latin1') }),
  }));
  return execFileSync('python3', ['-c', PYTHON], {
    input: JSON.stringify({ format, members: spec }),
    maxBuffer: 1024 ** 3,
  });
}

/** A bundle of files that is right in all, but for what is changed. */
export function bundle(
  files: Record<string, string | Buffer>,
  options: {
    metadata?: 'first' | 'last' | 'none';
    entries?: (entries: Entry[]) => unknown;
    members?: (members: TarSpec[]) => TarSpec[];
    hashtype?: string;
    format?: string;
  } = {},
): Buffer {
  const { metadata = 'last', entries = (all: Entry[]) => all, members = (all: TarSpec[]) => all } = options;
  const named = Object.entries(files).map(([path, content]) => fileEntry(path, content, options.hashtype));
  const document = { name: 'metadata.txt', content: JSON.stringify(entries([...TRANSACTION, ...named])) };
  const data = Object.entries(files).map(([path, content]) => ({ name: `data/${path}`, content }));
  const all = metadata === 'none' ? data : metadata === 'first' ? [document, ...data] : [...data, document];
  return pythonTar(members(all), options.format);
}

/** Writes a file for a move. @returns its entry */
export async function incomingFile(site: Pick<IngestSite, 'incoming'>, name: string, content: string): Promise<Entry> {
  const source = join(site.incoming, name);
  await mkdir(dirname(source), { recursive: true });
  await writeFile(source, content);
  return { ...fileEntry(name, content), source };
}

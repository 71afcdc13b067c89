import { join } from 'node:path';
import { pino } from 'pino';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { archiveApp } from '../../src/daemon/archive.js';
import type { ChecksumType } from '../../src/lib/checksum.js';
import { openBackend } from '../../src/storage/backends/index.js';
import { ArchiveFiles } from '../../src/storage/database/archive-files.js';
import { Database } from '../../src/storage/database/database.js';
import { syncSchema } from '../../src/storage/database/schema.js';
import { startServer, type TestServer } from './server.js';
import { removeFolder, temporaryFolder } from './temporary-folder.js';

export interface ArchiveService extends TestServer {
  readonly archive: LocalArchive;
  /** where the files are */
  readonly root: string;
  /** a folder beside it that nobody is allowed to move files from */
  readonly folder: string;
  /** a folder that files may be moved from */
  readonly incoming: string;
}

/** Starts a real archive interface on a folder of its own; with `checksum` it keeps records in a database. */
export async function startArchive(
  options: { useId2filename?: boolean; writeOnce?: boolean; root?: string; checksum?: ChecksumType | 'none' } = {},
): Promise<ArchiveService> {
  const folder = await temporaryFolder();
  const root = join(folder, options.root ?? 'archive');
  const incoming = join(folder, 'incoming');
  const backend = openBackend(`posix://${root}`, { useId2filename: options.useId2filename ?? false });
  const { checksum } = options;
  const database = checksum === undefined ? undefined : await Database.open(`sqlite://${join(folder, 'test.db')}`);
  if (database !== undefined) await syncSchema(database);
  const archive = new LocalArchive({
    backend,
    moveRoots: [incoming],
    ...(database !== undefined &&
      checksum !== undefined && {
        records: {
          tables: new ArchiveFiles(database),
          checksum,
          onProblem(error) {
            throw error;
          },
        },
      }),
  });
  const app = archiveApp(
    { service: 'archive', log: pino({ level: 'silent' }), debug: false },
    { archive, writeOnce: options.writeOnce ?? false },
  );
  const handle = app.callback();
  const server = await startServer((req, res) => void handle(req, res));
  return {
    ...server,
    archive,
    root,
    folder,
    incoming,
    async close() {
      await server.close();
      await archive.close();
      await database?.close();
      await removeFolder(folder);
    },
  };
}

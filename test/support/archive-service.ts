import { join } from 'node:path';
import { pino } from 'pino';
import { LocalArchive } from '../../src/archive/local-archive.js';
import { archiveApp } from '../../src/daemon/archive.js';
import { openBackend } from '../../src/storage/backends/index.js';
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

/** Starts a real archive interface on a folder of its own. */
export async function startArchive(
  options: { useId2filename?: boolean; writeOnce?: boolean; root?: string } = {},
): Promise<ArchiveService> {
  const folder = await temporaryFolder();
  const root = join(folder, options.root ?? 'archive');
  const incoming = join(folder, 'incoming');
  const backend = openBackend(`posix://${root}`, { useId2filename: options.useId2filename ?? false });
  const archive = new LocalArchive({ backend, moveRoots: [incoming] });
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
      await removeFolder(folder);
    },
  };
}

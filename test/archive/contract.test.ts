import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RemoteArchive } from '../../src/archive/remote-archive.js';
import { archiveSuite, type ArchiveTenant } from '../contract/archive.js';
import { startArchive } from '../support/archive-service.js';

async function tenant(kind: 'local' | 'remote', useId2filename: boolean): Promise<ArchiveTenant> {
  const service = await startArchive({ useId2filename });
  const outside = join(service.folder, 'outside');
  await mkdir(service.incoming);
  await mkdir(outside);
  const archive =
    kind === 'local'
      ? service.archive
      : new RemoteArchive({ url: service.url, spool: join(service.folder, 'spool'), retryBudgetMs: 2000 });
  return { archive, incoming: service.incoming, outside, dispose: () => service.close() };
}

archiveSuite('local', () => tenant('local', false));
archiveSuite('remote, over HTTP', () => tenant('remote', true));
